//! `aegis pack` as a user starts it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_codegen::memory::solver::{Buffer, Limits, Problem, Proof, minimise};
use aegis_tests::packing::{cut_rectangle, validate};
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

struct Table {
    folder: TempDir,
    file: PathBuf,
}

fn table(text: impl AsRef<[u8]>) -> Table {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("buffers.csv");
    std::fs::write(&file, text).unwrap();
    Table { folder, file }
}

impl Table {
    fn pack(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aegis"));
        command.arg("pack").arg("buffers.csv").args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// What lies beside the table.
    fn others(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| *path != self.file).collect()
    }
}

fn rows(buffers: &[Buffer]) -> String {
    let mut rows = "id,lower,upper,size\n".to_owned();
    for (at, buffer) in buffers.iter().enumerate() {
        rows += &format!("b{at},{},{},{}\n", buffer.live[0].start, buffer.live[0].end, buffer.size);
    }
    rows
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn rows_come_back_with_offsets_and_figures_are_printed() {
    let table = table("id,lower,upper,size,note\na,0,4,8,\"x, y\"\nb,2,6,8,\nc,4,9,8,z\n");
    let done = table.pack(&["--capacity", "16", "-o", "out.csv"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let rows = std::fs::read_to_string(table.folder.path().join("out.csv")).unwrap();
    assert_eq!(rows, "id,lower,upper,size,note,offset\na,0,4,8,\"x, y\",0\nb,2,6,8,,8\nc,4,9,8,z,0\n");
    assert_eq!(
        text(&done.stdout),
        "buffers      3\ncapacity     16\nheight       16\nlower bound  16\n\
         optimal      the lowest: 2 buffers at instant 2 need as much\n"
    );
    // Without a file the rows are the output.
    let piped = table.pack(&["--capacity", "16B"]);
    assert_eq!((piped.status.code(), text(&piped.stdout)), (Some(0), rows.as_str()));
    // What was written can be read again: every row then has to stay where it is.
    std::fs::copy(table.folder.path().join("out.csv"), &table.file).unwrap();
    let again = table.pack(&["--capacity", "16"]);
    assert_eq!(text(&again.stdout), rows);
}

#[test]
fn alignment_gaps_offsets_and_powers_of_two_are_honoured() {
    let table = table(
        "id,lower,upper,size,alignment,gaps,offset\n\
         a,-3,9,5,,-1-4 6-7,\nb,-1,4,7,4,,\nc,0,9,3,8,,16\nd,6,7,1,,,\n",
    );
    let done = table.pack(&["--capacity", "32", "--power-of-two", "4", "--json", "-o", "out.csv"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&told["height_bytes"], &told["size_bytes"]), (&19.into(), &32.into()));
    assert_eq!((&told["proof"], &told["witness"][0], &told["fits"]), (&"witness".into(), &"c".into(), &true.into()));
    let rows = std::fs::read_to_string(table.folder.path().join("out.csv")).unwrap();
    assert_eq!(
        rows,
        "id,lower,upper,size,alignment,gaps,offset\n\
         a,-3,9,5,,-1-4 6-7,0\nb,-1,4,7,4,,0\nc,0,9,3,8,,16\nd,6,7,1,,,0\n"
    );
    let none = table.pack(&["--capacity", "3", "--power-of-two", "4"]);
    assert!(text(&none.stderr).contains("below the smallest size that the memory can have"), "{}", text(&none.stderr));
    // 19 bytes do not fit 31, as only 16 of these are a power of two.
    let tight = table.pack(&["--capacity", "31", "--power-of-two", "4"]);
    assert_eq!(tight.status.code(), Some(1));
    assert!(
        text(&tight.stderr).contains("the capacity is 31, of which a power of two is 16"),
        "{}",
        text(&tight.stderr)
    );
}

/// What does not fit is refused with status 1, the buffers, the instant, and no output file.
#[test]
fn what_does_not_fit_is_explained() {
    let table = table("id,lower,upper,size\nsmall,0,9,10\nlarge,3,5,30\nmiddle,4,7,20\nlater,7,8,15\n");
    let done = table.pack(&["--capacity", "50", "-o", "out.csv"]);
    assert_eq!(done.status.code(), Some(1));
    let found = text(&done.stderr);
    assert!(
        found.contains("error[AEG307]: 3 buffers that are live at instant 4 need 60 bytes; the capacity is 50"),
        "{found}"
    );
    assert!(found.contains("buffers.csv:3:1") && found.contains("30 bytes") && found.contains("10 bytes"), "{found}");
    assert!(!found.contains("later") && table.others().is_empty(), "{found}");
    let one = table.pack(&["--capacity", "29"]);
    assert!(text(&one.stderr).contains("need 60 bytes; the capacity is 29"), "{}", text(&one.stderr));
}

#[test]
fn a_capacity_below_the_largest_buffer_names_it() {
    let table = table("id,lower,upper,size\nsmall,0,3,10\nlarge,3,5,30\n");
    let done = table.pack(&["--capacity", "29"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        text(&done.stderr).contains("`large` alone reaches 30 bytes; the capacity is 29"),
        "{}",
        text(&done.stderr)
    );
}

/// Where only the search shows that nothing fits, or does not show it, that is said.
#[test]
fn a_refusal_says_whether_it_is_certain() {
    let (buffers, height) = (0..)
        .find_map(|seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            let one = |random: &mut fastrand::Rng| {
                let start = random.i64(0..9);
                Buffer::new(random.u64(1..9), start..start + random.i64(1..6))
            };
            let buffers: Vec<Buffer> = (0..9).map(|_| one(&mut random)).collect();
            let plan = minimise(&Problem::new(buffers.clone()).unwrap(), Limits::default(), None);
            (plan.proof == Proof::Search).then_some((buffers, plan.height))
        })
        .unwrap();
    let low = table(rows(&buffers)).pack(&["--capacity", &(height - 1).to_string()]);
    let found = text(&low.stderr);
    assert_eq!(low.status.code(), Some(1));
    assert!(found.contains(&format!("no plan has less than {height} bytes: everything lower was searched")), "{found}");
    assert!(text(&low.stdout).contains("the lowest: everything lower was searched"), "{}", text(&low.stdout));
    let buffers = cut_rectangle(14, 174, 696, 1 << 20);
    let open = table(rows(&buffers)).pack(&["--capacity", "1MiB", "--nodes", "300"]);
    let found = text(&open.stderr);
    assert_eq!(open.status.code(), Some(1));
    assert!(found.contains("a plan may exist: 300 nodes did not decide it; give more --nodes"), "{found}");
    assert!(found.contains("the lowest plan found has "), "{found}");
}

#[test]
fn threads_do_not_change_a_byte_and_a_plan_of_the_command_is_valid() {
    let buffers = cut_rectangle(5, 180, 720, 1 << 20);
    let table = table(rows(&buffers));
    let one = table.pack(&["--capacity", "1MiB", "--threads", "1"]);
    let three = table.pack(&["--capacity", "1MiB", "--threads", "3"]);
    assert_eq!(one.status.code(), Some(0), "{}", text(&one.stderr));
    assert_eq!((&one.stdout, &one.stderr), (&three.stdout, &three.stderr));
    let offsets: Vec<u64> =
        text(&one.stdout).lines().skip(1).map(|row| row.rsplit(',').next().unwrap().parse().unwrap()).collect();
    assert_eq!(validate(&buffers, &offsets, 1 << 20), Ok(()));
}

/// Every fault of a table, each with its code and what the message says.
#[test]
fn bad_tables_are_refused_with_everything_that_is_wrong() {
    let cases: &[(&str, &[&str])] = &[
        ("", &["AEG303", "there is no column `id`", "there is no column `size`"]),
        ("id,lower,upper,size\n", &["AEG303", "the table has no row"]),
        ("id,lower,size\na,0,1\n", &["AEG303", "there is no column `upper`; there are: id, lower, size"]),
        ("id,lower,upper,size,size\na,0,1,1,1\n", &["AEG303", "the column `size` is there twice"]),
        ("id,lower,upper,size\na,0,1\nb,0,1,4,5\n", &["AEG303", "a row has 3 fields", "a row has 5 fields"]),
        ("id,lower,upper,size\na,0,1\nb,3,3,4\n", &["AEG303", "a row has 3 fields", "AEG304", "[3, 3)"]),
        ("id,lower,upper,size\na,0,1,4\na,0,1,4\n", &["AEG305", "two buffers are called `a`"]),
        ("id,lower,upper,size\n,0,1,4\n", &["AEG304", "a buffer has no id"]),
        ("id,lower,upper,size\na,3,3,4\nb,5,2,4\n", &["AEG304", "[3, 3)", "[5, 2)", "holds no instant"]),
        ("id,lower,upper,size\na,0,1,-4\n", &["AEG304", "the size of `a` is -4, which is negative"]),
        ("id,lower,upper,size\na,0,1,99999999999999999999\n", &["AEG304", "beyond 64 bits"]),
        ("id,lower,upper,size\na,0,1,9223372036854775807\n", &["AEG304", "sum to more than 2^62 bytes"]),
        (
            "id,lower,upper,size\na,0,1,4e3\nb,x,1,\n",
            &["`4e3`, which is no whole number", "`x`", "size of `b` is empty"],
        ),
        ("id,lower,upper,size,gaps\na,2,9,4,1-3\nb,2,9,4,5-5\n", &["AEG304", "a gap [1, 3), its lifespan is [2, 9)"]),
        ("id,lower,upper,size,gaps\na,2,9,4,5-7 6-8\nb,2,9,4,2-9\n", &["does not begin after", "`b` is never live"]),
        ("id,lower,upper,size,gaps\na,2,9,4,5-7@3\nb,2,9,4,5\n", &["a gap `5-7@3`", "a gap `5`"]),
        ("id,lower,upper,size,alignment\na,0,1,4,3\nb,0,1,4,0\n", &["AEG304", "alignment 3", "alignment 0"]),
        ("id,lower,upper,size,offset\na,0,2,4,0\nb,1,3,4,2\n", &["AEG306", "`a` and `b` have common bytes"]),
        (
            "id,lower,upper,size,alignment,offset\na,0,2,4,8,4\n",
            &["AEG306", "offset 4, no multiple of its alignment 8"],
        ),
        ("id,lower,upper,size,offset\na,0,2,4,-1\n", &["AEG304", "the offset of `a` is -1, which is negative"]),
    ];
    for (rows, expected) in cases {
        let table = table(rows);
        let done = table.pack(&["--capacity", "100", "-o", "out.csv"]);
        let found = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{rows:?}\n{found}");
        for part in *expected {
            assert!(found.contains(part), "{rows:?}: no {part:?} in\n{found}");
        }
        assert!(found.contains("buffers.csv") && found.contains("help"), "{found}");
        assert!(table.others().is_empty(), "{rows:?} left {:?}", table.others());
    }
}

#[test]
fn unreadable_input_and_wrong_usage_are_status_2() {
    let table = table([0xff, 0xfe, 0x00]);
    assert_eq!(table.pack(&["--capacity", "5"]).status.code(), Some(2));
    assert_eq!(table.pack(&[]).status.code(), Some(2));
    assert_eq!(table.pack(&["--capacity", "5parsecs"]).status.code(), Some(2));
    std::fs::remove_file(&table.file).unwrap();
    assert_eq!(table.pack(&["--capacity", "5"]).status.code(), Some(2));
    let sound = self::table("id,lower,upper,size\na,0,1,4\n");
    assert_eq!(sound.pack(&["--capacity", "5", "-o", "no/such/folder.csv"]).status.code(), Some(2));
}

#[test]
fn a_million_rows_are_planned_and_one_more_is_refused() {
    let mut rows = String::from("id,lower,upper,size\n");
    for at in 0..1_000_000_u64 {
        let start = at * 7_919 % 1_000_003;
        rows += &format!("b{at},{start},{},{}\n", start + 1 + at % 97, 1 + at * 31 % 4_096);
    }
    let done = table(&rows).pack(&["--capacity", "1GiB", "-o", "out.csv", "--json"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(told["lower_bound_bytes"].as_u64() <= told["height_bytes"].as_u64());
    rows += "more,0,1,1\n";
    let done = table(&rows).pack(&["--capacity", "1GiB"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("1000001 rows; at most 1000000"), "{}", text(&done.stderr));
}

#[test]
fn findings_of_a_broken_column_are_counted_beyond_a_hundred() {
    let mut rows = String::from("id,lower,upper,size\n");
    for at in 0..250 {
        rows += &format!("b{at},1,0,4\n");
    }
    let done = table(rows).pack(&["--capacity", "1GiB"]);
    assert_eq!(text(&done.stderr).matches("holds no instant").count(), 100);
    assert!(text(&done.stderr).contains("and 150 findings more"), "{}", text(&done.stderr));
}
