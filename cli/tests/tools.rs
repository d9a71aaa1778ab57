//! The smaller commands: completions, man pages and the benchmark.

use crate::common::{catena, file, stderr, stdout};

#[test]
fn completions_and_man_pages_include_the_arguments() {
    for shell in ["bash", "zsh", "fish"] {
        let output = catena(["completions", shell]).output().expect("it runs");
        assert!(output.status.success());
        assert!(stdout(&output).contains("save-every"), "{shell}");
    }
    for (arguments, title, text) in [
        (&["man"][..], ".TH catena 1", "Exit codes"),
        (&["man", "run"], ".TH catena-run 1", "save\\-every"),
        (&["man", "bench"], ".TH catena-bench 1", "batch\\-kib"),
    ] {
        let page = stdout(&catena(arguments).output().expect("it runs"));
        assert!(page.contains(title) && page.contains(text), "{page}");
    }
    assert_eq!(catena(["man", "nothing"]).output().expect("it runs").status.code(), Some(2));
}

#[test]
fn the_benchmark_prints_a_table_and_plots_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let input = file(folder.path(), "in.ndjson", crate::common::records().join("\n") + "\n");
    let plot = folder.path().join("plot.svg");
    let mut bench = catena(["bench", "--time", "1ms", "--batch-kib", "4,1024", "--plot"]);
    let output = bench.arg(&plot).arg(&input).output().expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let table = stdout(&output);
    let rows: Vec<_> = table.lines().filter(|line| line.contains("KiB")).collect();
    assert_eq!(rows.len(), 2, "{table}");
    for row in rows {
        // Four speeds, and two ratios of them.
        let numbers: Vec<f64> =
            row.split_whitespace().rev().take(6).map(|number| number.parse().expect("a number")).collect();
        let [to_scan, to_native, _, component, native, scan] = numbers[..] else { panic!("{row}") };
        // All are rounded to two decimals, so that small speeds say little about their ratio.
        let agree = |ratio: f64, of: f64| (ratio * of - component).abs() < 0.01 + 0.005 * (1.0 + ratio + of);
        assert!(agree(to_native, native) && agree(to_scan, scan), "{row}");
    }
    assert!(table.contains("one record per call"), "{table}");
    assert!(std::fs::read_to_string(plot).expect("it is drawn").contains("newline scan"));
}

#[test]
fn the_benchmark_measures_rule_sets_and_other_streams() {
    let bench = |arguments: &[&str]| {
        catena(["bench", "--time", "1ms", "--batch-kib", "1024"]).args(arguments).output().expect("it runs")
    };
    let output = bench(&["--streams", "large", "--rules", "30,40"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let table = stdout(&output);
    let rows: Vec<_> = table.lines().filter(|line| line.contains("1024 KiB")).collect();
    assert!(rows.len() == 2 && rows[0].contains("64 KiB records, 30 rules") && rows[1].contains("40 rules"), "{table}");
    let refused = bench(&["--rules", "3"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("built-in rules already"), "{}", stderr(&refused));
}
