//! What was written, as the format's own library reads it.

use std::fs::File;

use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::Field;
use groundcrew_recorder::body::types::{LogLine, MetricSample};
use groundcrew_recorder::format::frame::Head;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field as Cell;

use super::*;

fn read(bytes: Vec<u8>) -> (SerializedFileReader<File>, Vec<Vec<(String, Cell)>>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    let rows = rows.map(|row| row.unwrap().into_columns()).collect();
    (reader, rows)
}

fn cell<'a>(row: &'a [(String, Cell)], name: &str) -> &'a Cell {
    &row.iter().find(|(one, _)| one == name).unwrap().1
}

#[test]
fn rows_come_back_with_their_types_and_what_is_unknown_is_null() {
    let body = MetricSample {
        name: "frames".to_owned(),
        value: f64::NAN,
        bounds: vec![1.5, f64::NAN],
        counts: vec![u64::MAX],
        ..Default::default()
    };
    let whole = body.to_bytes();
    // Nothing but the name, and a body with empty lists.
    let short = &whole[..8];
    let empty = MetricSample { value: -2.5, ..Default::default() }.to_bytes();
    let schema = MetricSample::SCHEMA;
    let mut table = Table::new(Some(&schema), Vec::new()).unwrap();
    for (seq, body) in [(7, whole.as_slice()), (8, short), (u64::MAX, &empty)] {
        let head = Head { kind: schema.kind, source: 65_535, time_ns: 5, source_seq: 6, seq };
        let name = (seq == 7).then_some("nav");
        let row = Row { head, body, schema: Some(&schema), source_name: name, utc_ns: -1 };
        table.write(&row).unwrap();
    }
    let (_, rows) = read(table.finish().unwrap());
    assert_eq!(rows.len(), 3);
    assert_eq!(*cell(&rows[0], "seq"), Cell::ULong(7));
    assert_eq!(*cell(&rows[2], "seq"), Cell::ULong(u64::MAX));
    assert_eq!(*cell(&rows[0], "source"), Cell::UShort(65_535));
    assert_eq!(*cell(&rows[0], "source_name"), Cell::Str("nav".to_owned()));
    assert_eq!(*cell(&rows[1], "source_name"), Cell::Null);
    assert_eq!(*cell(&rows[0], "name"), Cell::Str("frames".to_owned()));
    assert_eq!(*cell(&rows[1], "name"), Cell::Str("frames".to_owned()));
    assert_eq!(*cell(&rows[0], "value"), Cell::Null, "not a number");
    assert_eq!(*cell(&rows[2], "value"), Cell::Double(-2.5));
    let Cell::ListInternal(bounds) = cell(&rows[0], "bounds") else { panic!("{rows:?}") };
    assert_eq!(bounds.elements(), [Cell::Double(1.5), Cell::Null]);
    let Cell::ListInternal(counts) = cell(&rows[0], "counts") else { panic!("{rows:?}") };
    assert_eq!(counts.elements(), [Cell::ULong(u64::MAX)]);
    assert_eq!(*cell(&rows[1], "counts"), Cell::Null, "the body ends before it");
    let Cell::ListInternal(counts) = cell(&rows[2], "counts") else { panic!("{rows:?}") };
    assert!(counts.elements().is_empty());
    // A label of a later version is its number.
    assert_eq!(*cell(&rows[0], "kind"), Cell::Str("255".to_owned()));
}

#[test]
fn what_nobody_described_is_kept_as_bytes() {
    let mut table = Table::new(None, Vec::new()).unwrap();
    crate::row::tests::with_row(0x8002, None, |row| table.write(row).unwrap());
    let (_, rows) = read(table.finish().unwrap());
    let Cell::Bytes(body) = cell(&rows[0], "body") else { panic!("{rows:?}") };
    crate::row::tests::with_row(0x8002, None, |row| assert_eq!(body.data(), row.body));
}

#[test]
fn a_table_becomes_row_groups_of_a_limited_size() {
    let schema = LogLine::SCHEMA;
    let write = |rows: usize, message: String| {
        let body = LogLine { message, ..Default::default() }.to_bytes();
        let mut table = Table::new(Some(&schema), Vec::new()).unwrap();
        crate::row::tests::with_row(schema.kind, Some(&schema), |row| {
            for _ in 0..rows {
                table.write(&Row { body: &body, ..*row }).unwrap();
                assert!(table.waiting() < WAITING_MAX + body.len());
            }
        });
        let reader = read(table.finish().unwrap()).0;
        let groups = reader.metadata().row_groups().iter();
        groups.map(|group| group.num_rows()).collect::<Vec<_>>()
    };
    let max = i64::try_from(ROWS_MAX).unwrap();
    assert_eq!(write(ROWS_MAX + 3, String::new()), [max, 3]);
    let groups = write(300, "x".repeat(65_000));
    assert_eq!(groups.iter().sum::<i64>(), 300);
    assert_eq!(groups.len(), 2, "16 MiB and the rest: {groups:?}");
    assert!(write(0, String::new()).is_empty());
}

#[test]
fn columns_have_names_of_their_own() {
    let field = |name: &'static str| Field { name: name.into(), kind: Kind::U8, doc: "".into() };
    let fields = ["x", "X", "seq", "", "x_2"].map(field).to_vec();
    let mut schema = Schema::from_text(0x8001, "Odd", "[]").unwrap();
    schema.fields = fields.into();
    let shapes = shapes(Some(&schema));
    let names: Vec<&str> = shapes.iter().skip(6).map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x", "X_2", "body_seq", "body_", "x_2_2"]);
    let mut table = Table::new(Some(&schema), Vec::new()).unwrap();
    crate::row::tests::with_row(0x8001, Some(&schema), |row| table.write(row).unwrap());
    let (_, rows) = read(table.finish().unwrap());
    assert_eq!(*cell(&rows[0], "x_2_2"), Cell::UByte(0));

    schema.fields = vec![field("x"); FIELDS_MAX + 1].into();
    let table = Table::new(Some(&schema), Vec::new()).unwrap();
    assert_eq!(table.columns.len(), COMMON.len() + 1, "its bytes");
}

#[test]
fn a_reader_that_went_away_is_told_from_trouble() {
    struct Gone(io::ErrorKind);
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for (kind, closed) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
        let table = Table::new(None, Gone(kind)).and_then(Table::finish);
        assert_eq!(table.err().unwrap().is_closed_pipe(), closed);
    }
}
