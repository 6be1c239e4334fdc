//! Which image of an index this host runs.

use std::fmt;

use super::manifest::{DOCKER_MANIFEST, Descriptor, Index, OCI_MANIFEST, Platform};

/// What a host runs, as images name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The system: `linux`.
    pub os: String,
    /// The architecture: `amd64`.
    pub architecture: String,
    /// The variant, where it counts; an image for an earlier one runs too.
    pub variant: Option<String>,
}

impl Host {
    /// This host.
    #[must_use]
    pub fn here() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "x86" => ("386", None),
            "powerpc64" => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Self {
            os: std::env::consts::OS.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Reads `linux/arm/v7`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (os, architecture) = (parts.next()?, parts.next()?);
        let variant = parts.next().map(str::to_owned);
        let fits = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let whole = parts.next().is_none() && fits(os) && fits(architecture);
        let (os, architecture) = (os.to_owned(), architecture.to_owned());
        (whole && variant.as_deref().is_none_or(fits)).then_some(Self { os, architecture, variant })
    }

    /// Whether an image for this platform runs here, and how near it is: the later the variant, the
    /// better.
    #[must_use]
    pub fn nearness(&self, image: &Platform) -> Option<u32> {
        if image.os != self.os || image.architecture != self.architecture {
            return None;
        }
        let number = |variant: &str| variant.strip_prefix('v')?.parse::<u32>().ok();
        match (self.variant.as_deref(), image.variant.as_deref().filter(|text| !text.is_empty())) {
            (_, None) => Some(0),
            (Some(ours), Some(theirs)) if ours == theirs => Some(u32::MAX),
            (Some(ours), Some(theirs)) => {
                let (ours, theirs) = (number(ours)?, number(theirs)?);
                (theirs <= ours).then_some(theirs)
            }
            // amd64/v3 may need what this processor does not have.
            (None, Some(_)) => None,
        }
    }

    /// The image of an index that runs here.
    ///
    /// # Errors
    ///
    /// None does; what there is.
    pub fn choose<'a>(&self, index: &'a Index) -> Result<&'a Descriptor, String> {
        let known = index.manifests.iter().filter_map(|one| Some((one, one.platform.as_ref()?)));
        let fitting = known
            .clone()
            .filter_map(|(one, platform)| self.nearness(platform).map(|nearness| (nearness, one)));
        // The first of equals, as everybody else takes it.
        let best = fitting.rev().max_by_key(|(nearness, _)| *nearness).map(|(_, one)| one);
        // Some builders say no platform of an only image; its configuration does.
        let is_image =
            |one: &&Descriptor| [OCI_MANIFEST, DOCKER_MANIFEST].contains(&&*one.media_type);
        let mut bare = index.manifests.iter().filter(|one| one.platform.is_none()).filter(is_image);
        let only = bare.next().filter(|_| bare.next().is_none());
        best.or(only).ok_or_else(|| {
            let there: Vec<String> = known
                .map(|(_, platform)| platform.to_string())
                .filter(|name| !name.starts_with("unknown/"))
                .collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            format!("it has no image for {self}; it has: {there}")
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.os, &self.architecture, self.variant.as_deref())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.os, &self.architecture, self.variant.as_deref())
    }
}

fn show(f: &mut fmt::Formatter<'_>, os: &str, arch: &str, variant: Option<&str>) -> fmt::Result {
    match variant.filter(|variant| !variant.is_empty()) {
        Some(variant) => write!(f, "{os}/{arch}/{variant}"),
        None => write!(f, "{os}/{arch}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[&str]) -> Index {
        let entry = |(at, text): (usize, &&str)| {
            let Host { os, architecture, variant } = Host::parse(text).unwrap();
            Descriptor {
                media_type: OCI_MANIFEST.to_owned(),
                digest: at.to_string(),
                size: 1,
                artifact_type: None,
                platform: Some(Platform { architecture, os, variant }),
                annotations: None,
            }
        };
        Index { manifests: platforms.iter().enumerate().map(entry).collect(), annotations: None }
    }

    #[test]
    fn the_nearest_image_that_runs_here_is_chosen() {
        let all: &[(&str, &[&str], Option<&str>)] = &[
            ("linux/amd64", &["linux/arm64", "linux/amd64", "linux/amd64"], Some("1")),
            ("linux/amd64", &["linux/amd64/v3", "linux/amd64"], Some("1")),
            ("linux/amd64", &["linux/amd64/v3"], None),
            ("linux/amd64", &["windows/amd64", "unknown/unknown"], None),
            ("linux/arm64/v8", &["linux/arm64"], Some("0")),
            ("linux/arm64/v8", &["linux/arm64/v9", "linux/arm64/v8"], Some("1")),
            ("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6", "linux/arm64/v8"], Some("1")),
            ("linux/arm/v6", &["linux/arm/v7"], None),
        ];
        for (host, there, chosen) in all {
            let host = Host::parse(host).unwrap();
            let found = host.choose(&index(there)).ok().map(|one| one.digest.clone());
            assert_eq!(found.as_deref(), *chosen, "{host} of {there:?}");
        }
        let host = Host::parse("linux/riscv64").unwrap();
        let others = index(&["linux/amd64", "linux/arm/v7", "unknown/unknown"]);
        let why = host.choose(&others).unwrap_err();
        assert_eq!(why, "it has no image for linux/riscv64; it has: linux/amd64, linux/arm/v7");
    }

    #[test]
    fn the_only_image_of_which_no_platform_is_said_is_looked_at() {
        let host = Host::parse("linux/amd64").unwrap();
        let chosen = |platforms: &[&str], bare: usize| {
            let mut index = index(platforms);
            for entry in index.manifests.iter_mut().take(bare) {
                entry.platform = None;
            }
            host.choose(&index).ok().map(|one| one.digest.clone())
        };
        assert_eq!(chosen(&["linux/arm64"], 1).as_deref(), Some("0"));
        assert_eq!(chosen(&["linux/arm64", "linux/amd64"], 1).as_deref(), Some("1"));
        assert_eq!(chosen(&["linux/arm64", "linux/arm64"], 2), None, "which of them is not known");
    }

    #[test]
    fn a_platform_is_two_or_three_words() {
        for text in ["linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b"] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
        assert_eq!(Host::parse("linux/arm/v7").unwrap().to_string(), "linux/arm/v7");
        assert!(Host::parse(&Host::here().to_string()).is_some());
    }
}
