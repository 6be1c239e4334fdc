//! What is written about where releases come from.

use schemars::JsonSchema;
use serde::Deserialize;

/// Where releases come from. `${NAME}` in a text is the environment's variable of that name.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Source {
    /// `directory`, or `oci`: a container registry.
    pub(crate) kind: Option<String>,
    /// `directory`: the directory that holds `<app>/<version>/` and `<app>/channels/`.
    pub(crate) path: Option<String>,
    /// The channel to follow: `stable` by default; of a registry the tag, `latest` by default.
    pub(crate) channel: Option<String>,
    /// `directory`: a minisign public key file; releases without its signature are held.
    pub(crate) minisign_key: Option<String>,
    /// `oci`: the image, as in `registry.lan:5000/team/tiles`; without a registry it is Docker Hub's.
    pub(crate) image: Option<String>,
    /// `oci`: a cosign public key file; images without its signature are held.
    pub(crate) cosign_key: Option<String>,
    /// `oci`: where release notes are: `referrer`, an artifact that refers to the image, or a URL
    /// with `{version}`, `{revision}` or `{tag}` in it.
    pub(crate) notes: Option<String>,
    /// `oci`: what the tag of a pinned version or revision is called, as in `{pin}-arm`.
    pub(crate) pin_tag: Option<String>,
    /// `oci`: the variable of the image that names its commit, where no label does.
    pub(crate) revision_env: Option<String>,
    /// `oci`: the platform whose image is taken, as in `linux/arm64`; this host's by default.
    pub(crate) platform: Option<String>,
    /// `oci`: a file with the CA of the registry's certificate; nobody else is believed then.
    pub(crate) ca: Option<String>,
    /// `oci`: speak HTTP without encryption; `false` by default, on loopback too.
    pub(crate) plain_http: Option<bool>,
    /// `oci`: as whom the registry is asked, with `password_file`; what `docker login` left counts
    /// by default.
    pub(crate) username: Option<String>,
    /// `oci`: the file with the password or the token of `username`.
    pub(crate) password_file: Option<String>,
    /// `oci`: the file that `docker login` wrote; `~/.docker/config.json` by default.
    pub(crate) docker_config: Option<String>,
}
