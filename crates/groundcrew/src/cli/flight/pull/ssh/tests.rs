//! What another host answers, cut and twisted.

use super::*;

const ID: &str = "019c13ec-9e00-7000-8000-000000000000";

fn want(path: &str, len: u64, from: u64) -> Want {
    Want { item: Item::new(path, len, true).unwrap(), from }
}

/// What is taken of an answer that comes in pieces of this size, and whether it has its end.
fn arrives(wants: &[Want], answer: &str, piece: usize) -> Result<(String, bool), String> {
    let mut taken = String::new();
    let mut arrival = Arrival { wants, lines: Lines::default(), at: At::Head, ended: false };
    for bytes in answer.as_bytes().chunks(piece) {
        let took = arrival.takes(bytes, &mut |came| {
            match came {
                Came::File(want) => taken.push_str(&format!("[{}:", want.item.path)),
                Came::Bytes(bytes) => taken.push_str(std::str::from_utf8(bytes).unwrap()),
                Came::Done(_) => taken.push(']'),
            }
            Ok(())
        });
        took.map_err(|wrong| match wrong {
            Wrong::Answer(what) => what,
            Wrong::Taken(trouble) => trouble.to_string(),
        })?;
    }
    Ok((taken, arrival.ended))
}

#[test]
fn an_answer_is_taken_in_pieces_of_every_size_and_only_as_it_was_asked_for() {
    let (a, b) = ("segments/seg_00000.bin", "manifest.json");
    let wants = [want(a, 5, 2), want(b, 0, 0)];
    let answer = format!("file {a}\nx\ny\nfile {b}\n\nend\n");
    for piece in 1..=answer.len() {
        let taken = arrives(&wants, &answer, piece);
        assert_eq!(taken, Ok((format!("[{a}:x\ny][{b}:]"), true)), "{piece}");
    }
    for cut in 0..answer.len() {
        let (taken, ended) = arrives(&wants, answer.split_at(cut).0, 7).unwrap();
        assert!(!ended && !taken.ends_with("[manifest.json:]]"), "{cut}: {taken}");
    }
    for strange in [
        format!("file {b}\n\nend\n"),
        format!("file {a}\nxy\nfile {b}\n\nend\n"),
        format!("file {a}\nx\nyz\nfile {b}\n\nend\n"),
        format!("file {a}\nx\ny\nend\n"),
        format!("{answer}end\n"),
        "x".repeat(LINE_MAX + 1),
    ] {
        assert!(arrives(&wants, &strange, 9).is_err(), "{strange:?}");
    }
}

#[test]
fn a_listing_is_believed_no_further_than_a_flight_goes() {
    let (mut listing, mut inside) = (Listing::default(), false);
    let mut hear = |line: &str| heard(&mut listing, &mut inside, line);
    for line in [
        "file 81a4 5 segments/seg_00000.bin",
        "flight ../../etc",
        "file 81a4 5 segments/seg_00000.bin",
        &format!("flight {ID}"),
        "claim held",
        "file 81a4 5 segments/seg_00000.bin",
        "file a1ff 5 segments/seg_00001.bin",
        "file 81a4 5 segments/../../x",
        "file 81a4 5 /etc/passwd",
        "file 81a4 5 thumbnails/..",
        "file 81a4 5 thumbnails/a/b",
        "file 81a4 7 manifest.json",
        "file 81a4 5 thumbnails/a.jpg",
        "strange 3 thumbnails",
        "receipt {}",
    ] {
        assert!(hear(line).is_some(), "{line}");
    }
    for line in ["file", "file x 5 a", "file 81a4 -5 a", "file 81a4", "hello", "strange x y"] {
        assert!(hear(line).is_none(), "{line}");
    }
    assert_eq!(listing.others, ["../../etc"]);
    let [offer] = listing.offers.as_slice() else { panic!("{listing:?}") };
    let paths: Vec<&str> = offer.items.iter().map(|item| item.path.as_str()).collect();
    assert_eq!(paths, ["segments/seg_00000.bin", "thumbnails/a.jpg"]);
    assert_eq!((offer.claimed, offer.strange.len()), (Some(true), 6));
    assert!(offer.manifest.is_some() && offer.receipt.is_none());
}
