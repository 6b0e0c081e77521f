//! Profiles as files: untrusted input, atomic output.

mod made_up;

use made_up::{TEXT, edited, profile, with_regions};
use rustix::fs::{CWD, FileType, Mode};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use threadtune::document::Fault;
use threadtune::machine::Fingerprint;
use threadtune::profile::{
    Conditions, Directories, FreshEntry, Profile, StoreError, check_writable, load, load_for,
    load_named, load_to_continue, parse, save,
};

#[test]
fn the_text_written_is_the_text_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/native.toml");
    save(&path, &profile()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
    assert_eq!(load(&path).unwrap(), profile());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "no temporary file stays behind");
}

#[test]
fn what_only_some_profiles_record_of_the_circumstances_stands_in_its_place() {
    let mut profile = profile();
    let conditions = &mut profile.conditions[0];
    // A profile of an earlier version.
    assert_eq!(conditions.microcode, None);
    conditions.microcode = Some("0x1".to_owned());
    conditions.bios = Some("Made Up 1".to_owned());
    conditions.library = Some("libgomp.so.1.0.0 5f3a9c01".to_owned());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    save(&path, &profile).unwrap();
    let text = edited(
        "governor = ",
        "microcode = \"0x1\"\nbios = \"Made Up 1\"\ngovernor = ",
    )
    .replacen(
        "team = \"libgomp 4.5\"\n",
        "team = \"libgomp 4.5\"\nlibrary = \"libgomp.so.1.0.0 5f3a9c01\"\n",
        1,
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(load(&path).unwrap(), profile);
}

#[test]
fn a_newer_schema_is_refused_by_both_versions_and_never_overwritten() {
    let text = "schema = 3\nsomething = { entirely = \"different\" }\n";
    let message = parse(Path::new("p.toml"), text).unwrap_err().to_string();
    assert!(
        message.contains("schema 3") && message.contains("up to 2"),
        "{message}"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    fs::write(&path, text).unwrap();
    assert!(matches!(
        check_writable(&path),
        Err(StoreError::NewerSchema { .. })
    ));
    assert!(matches!(
        save(&path, &profile()),
        Err(StoreError::NewerSchema { .. })
    ));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

/// As version 0.1.0 wrote it.
const OLDEST: &str = include_str!("profiles/schema-1.toml");

#[test]
fn what_the_first_version_wrote_is_carried_over_and_its_verdicts_are_doubtful() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    let text = OLDEST.replacen("team =", "watts = 7\nteam =", 1);
    fs::write(&path, &text).unwrap();
    let old = load(&path).unwrap();
    assert_eq!(old.schema, 2);
    let [conditions] = &old.conditions[..] else {
        panic!("{:?}", old.conditions)
    };
    assert_eq!((conditions.id, conditions.kernel.as_str()), (1, "6.1.0"));
    assert_eq!(conditions.budget.cores, None);
    for entry in &old.workloads {
        assert_eq!(old.conditions_of(entry), Some(conditions));
        assert_eq!((entry.backend.as_str(), entry.measured), ("native", None));
        assert!(entry.doubt().is_some());
    }
    // Its own kernels are as new as any: it is not known when and under what it was measured.
    let doubt = old.workloads[0].doubt().unwrap();
    assert_eq!(doubt, threadtune::profile::Doubt::Undated);
    let verdicts = |profile: &Profile| {
        let latencies = profile.workloads.iter().map(|entry| entry.latency.clone());
        latencies.collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&old), verdicts(&profile()));
    // Written again it is of today's schema, and so it is read.
    save(&path, &old).unwrap();
    let raw: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    assert_eq!(raw["schema"].as_integer(), Some(2));
    assert_eq!(raw["conditions"][0]["id"].as_integer(), Some(1));
    assert_eq!(raw["conditions"][0]["watts"].as_integer(), Some(7));
    assert_eq!(raw["workload"][0]["conditions"].as_integer(), Some(1));
    assert_eq!(load(&path).unwrap(), old);
    // Broken, it says where.
    let broken = text.replacen("governor = \"performance\"", "governor = 7", 1);
    let message = parse(Path::new("p.toml"), &broken).unwrap_err().to_string();
    let line = broken.lines().position(|l| l == "governor = 7").unwrap() + 1;
    assert!(
        message.contains(&format!("line {line}")) && message.contains("governor"),
        "{message}"
    );
}

#[test]
fn entries_keep_the_conditions_they_were_measured_under() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    let mut profile = profile();
    let then = profile.conditions[0].clone();
    let today = Conditions {
        kernel: "6.12".to_owned(),
        ..then.clone()
    };
    let entry = profile.workloads[0].clone();
    let at = "2026-12-01T00:00:00Z".parse().unwrap();
    let fresh = FreshEntry::new(entry, today.clone(), Some(at));
    assert_eq!(profile.keep(fresh, false, &[], 1.0), None);
    save(&path, &profile).unwrap();
    let read = load(&path).unwrap();
    assert_eq!(read, profile);
    let kernel = |i: usize| &read.conditions_of(&read.workloads[i]).unwrap().kernel;
    assert_eq!((kernel(0).as_str(), kernel(1).as_str()), ("6.12", "6.1.0"));
    assert_eq!(read.workloads[0].measured, Some(at));
    // What only the old ones said is gone with the last of them.
    let order: Vec<String> = profile.workloads.iter().map(|e| e.name.clone()).collect();
    for name in &order {
        let entry = profile.entry(name).unwrap().clone();
        profile.set_cut_short(name, false, &[]);
        let fresh = FreshEntry::new(entry, today.clone(), Some(at));
        assert_eq!(profile.keep(fresh, false, &[], 0.0), None);
    }
    let kernels: Vec<&str> = profile
        .conditions
        .iter()
        .map(|c| c.kernel.as_str())
        .collect();
    assert_eq!(kernels, ["6.12"]);
}

#[test]
fn unknown_keys_survive_a_rewrite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    let text = edited("entries = 5", "entries = 5\nsite = \"rack 7\"")
        .replacen("llc_bytes", "socket_watts = 350\nllc_bytes", 1)
        .replacen("team =", "fans = { left = 1, right = 2 }\nteam =", 1)
        .replacen("shape = \"gemv", "note = [1, \"two\"]\nshape = \"gemv", 1)
        .replacen(
            "threads = 3, median_us = 505.0",
            "threads = 3, joules = 0.5, median_us = 505.0",
            1,
        )
        .replacen("samples = 2, raced", "samples = 2, celsius = 61, raced", 1)
        + "[later]\nkey = { a = [1, 2] }\n";
    fs::write(&path, &text).unwrap();
    let before: toml::Table = text.parse().unwrap();
    let mut profile = load(&path).unwrap();
    save(&path, &profile).unwrap();
    let after: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    assert_eq!(after, before);

    // Reordered, one entry gone, one new: the extras stay with their names.
    profile.workloads.swap(0, 1);
    profile.workloads.remove(2);
    let mut new = profile.workloads[1].clone();
    new.name = "matmul-512".to_owned();
    profile.merge([new], &["matmul-512"], 1.5);
    save(&path, &profile).unwrap();
    assert_eq!(load(&path).unwrap(), profile);
    let text = fs::read_to_string(&path).unwrap();
    let raw: toml::Table = text.parse().unwrap();
    assert_eq!(raw["site"].as_str(), Some("rack 7"));
    assert_eq!(raw["workload"][0]["name"].as_str(), Some("matmul-512"));
    assert_eq!(raw["workload"][0].get("note"), None);
    assert_eq!(raw["workload"][1]["name"].as_str(), Some("gemv-2048x2048"));
    assert_eq!(raw["workload"][1]["note"].as_array().unwrap().len(), 2);
    assert_eq!(
        raw["workload"][1]["latency"]["joules"].as_float(),
        Some(0.5)
    );
    assert_eq!(
        raw["workload"][2]["curve"][0]["celsius"].as_integer(),
        Some(61)
    );
    assert!(text.ends_with("]\n"), "`curve` stays the last key: {text}");
}

#[test]
fn regions_stand_between_the_conditions_and_the_workloads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    let text = with_regions();
    let regions = parse(&path, &text).unwrap();
    let counts: Vec<u32> = regions.regions.iter().map(|r| r.threads.get()).collect();
    assert_eq!(counts, [1, 2, 8]);
    assert_eq!(
        regions.region_conditions.as_ref().unwrap().team,
        "libgomp 4.5"
    );
    save(&path, &regions).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // A launch reads one entry: regions are no obstacle.
    let names = ["matmul-256".to_owned()];
    assert!(load_for(&path, &profile().machine, &names).is_ok());
    // As a program rewrites it that knows nothing of them; and what only a later one knows of them.
    let inline = edited(
        "[machine]",
        "region = [{ threads = 2, after_us = { 0 = 0.9 }, joules = 0.5 }]\n[machine]",
    )
    .replacen(
        "[[workload]]",
        "[region_conditions]\nkernel = \"6.1.0\"\ngovernor = \"performance\"\nteam = \"rayon\"\nwatts = 7\n\
         budget = { cpus = \"0-7\", limit = 8, by = \"affinity\" }\n[[workload]]",
        1,
    );
    fs::write(&path, &inline).unwrap();
    let read = load(&path).unwrap();
    assert_eq!(read.regions.len(), 1);
    save(&path, &read).unwrap();
    assert_eq!(load(&path).unwrap(), read);
    let before: toml::Table = inline.parse().unwrap();
    let after: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    assert_eq!(after, before);
}

#[test]
fn tables_that_this_version_does_not_know_are_kept_as_an_earlier_one_keeps_regions() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    let text = with_regions().replace("region", "later");
    fs::write(&path, &text).unwrap();
    let read = load(&path).unwrap();
    assert_eq!(read, profile());
    save(&path, &read).unwrap();
    let rewritten = fs::read_to_string(&path).unwrap();
    let known = rewritten.replace("later", "region");
    let expected = parse(&path, &with_regions()).unwrap();
    assert_eq!(parse(&path, &known).unwrap(), expected);
}

#[test]
fn merging_replaces_by_name_in_the_catalogues_order() {
    let mut profile = profile();
    let mut gemv = profile.entry("gemv-2048x2048").unwrap().clone();
    gemv.seconds = 9.0;
    let mut new = gemv.clone();
    new.name = "triad-4m".to_owned();
    profile.merge(
        [gemv, new],
        &["gemv-2048x2048", "triad-4m", "matmul-256"],
        10.0,
    );
    let names: Vec<&str> = profile.workloads.iter().map(|e| e.name.as_str()).collect();
    let expected = [
        "gemv-2048x2048",
        "triad-4m",
        "matmul-256",
        "llama3.2-1b/decode",
        "softmax-512x512",
        "gemm-bf16-64",
    ];
    assert_eq!(names, expected);
    assert_eq!(profile.entries, 6);
    assert!((profile.workloads[0].seconds - 9.0).abs() < 1e-9);
    assert!((profile.spent_s - 51.2).abs() < 1e-9);
}

#[test]
fn names_cut_short_survive_a_rewrite_until_they_get_their_due() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    let line = "cut_short = [\"not-in-this-profile\", \"matmul-256\"]\n";
    let text = edited("entries = 5\n", &format!("entries = 5\n{line}"));
    fs::write(&path, &text).unwrap();
    let mut profile = load(&path).unwrap();
    assert_eq!(profile.cut_short, ["not-in-this-profile", "matmul-256"]);
    save(&path, &profile).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // A launch reads one entry: the key is no obstacle.
    let names = ["matmul-256".to_owned()];
    assert!(load_for(&path, &profile.machine, &names).is_ok());

    let order = ["matmul-256", "triad-4m"];
    profile.set_cut_short("triad-4m", true, &order);
    profile.set_cut_short("triad-4m", true, &order);
    assert_eq!(
        profile.cut_short,
        ["matmul-256", "triad-4m", "not-in-this-profile"]
    );
    assert!(profile.is_cut_short("triad-4m") && !profile.is_cut_short("gemv-2048x2048"));
    for name in ["triad-4m", "matmul-256", "not-in-this-profile", "unknown"] {
        profile.set_cut_short(name, false, &order);
    }
    save(&path, &profile).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
}

/// Things that are no profile, in a profile's place, with what the error says.
fn impostors(directory: &Path) -> Vec<(PathBuf, &'static str)> {
    let fifo = directory.join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    let folder = directory.join("folder");
    fs::create_dir(&folder).unwrap();
    let huge = directory.join("huge");
    File::create(&huge).unwrap().set_len(100_000_000).unwrap();
    let link = directory.join("link");
    symlink(&fifo, &link).unwrap();
    vec![
        (fifo, "is a FIFO, not a regular file"),
        (folder, "is a directory, not a regular file"),
        (huge, "has 100000000 bytes, and at most 4194304 are read"),
        (link, "is a FIFO, not a regular file"),
        (
            PathBuf::from("/dev/zero"),
            "is a device, not a regular file",
        ),
    ]
}

#[test]
fn what_is_no_regular_file_is_a_clear_error_and_never_hangs() {
    let directory = tempfile::tempdir().unwrap();
    for (path, expected) in impostors(directory.path()) {
        let message = load(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("threadtune tune"), "{message}");
    }
    let fifo = directory.path().join("fifo");
    assert!(matches!(
        check_writable(&fifo),
        Err(StoreError::File(Fault::NotRegular { .. }))
    ));
    assert!(matches!(
        save(&fifo, &profile()),
        Err(StoreError::File(Fault::NotRegular { .. }))
    ));
}

#[test]
fn absence_and_bad_encoding_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    assert!(load(&path).unwrap_err().is_absent());
    assert!(load(&path.join("below/a/file")).unwrap_err().is_absent());
    fs::write(&path, b"schema = 1\nname = \"\xff\"\n").unwrap();
    assert!(matches!(
        load(&path),
        Err(StoreError::File(Fault::Malformed { line: 2, .. }))
    ));
}

#[test]
fn another_machines_profile_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    save(&path, &profile()).unwrap();
    assert!(load_for(&path, &profile().machine, &[]).is_ok());
    let mine = Fingerprint {
        id: "mine-1".to_owned(),
        ..profile().machine
    };
    let message = load_for(&path, &mine, &[]).unwrap_err().to_string();
    assert!(
        message.contains("`made-up-1s8c8t-000000`") && message.contains("`mine-1`"),
        "{message}"
    );
    // Whoever names it may use that of another machine with the same processor, and is told.
    let named = load_named(&path, &mine, &[]).unwrap();
    let elsewhere = named.workloads[0].elsewhere.as_deref();
    assert_eq!(elsewhere, Some("made-up-1s8c8t-000000"));
    let other = Fingerprint {
        cpu_model: "Made Up 9".to_owned(),
        ..mine
    };
    assert!(load_named(&path, &other, &[]).is_err());
}

/// This profile as threadtune 0.1.0 wrote it, and the machine as it is known now.
fn of_earlier() -> (Profile, Fingerprint) {
    let mut earlier = profile();
    earlier.machine.id = earlier.machine.earlier_id();
    let machine = Fingerprint {
        id: "made-up-1s8c8t-abcdef".to_owned(),
        structure: "0123456789abcdef".to_owned(),
        ..profile().machine
    };
    assert_eq!(machine.earlier_id(), earlier.machine.id);
    (earlier, machine)
}

#[test]
fn what_threadtune_0_1_0_wrote_is_found_and_continued() {
    let directory = tempfile::tempdir().unwrap();
    let directories = Directories {
        user: Some(directory.path().to_owned()),
        system: Vec::new(),
    };
    let (earlier, machine) = of_earlier();
    let before = directories
        .user_profile(&earlier.machine.id, "native")
        .unwrap();
    save(&before, &earlier).unwrap();
    let search = directories.search(&machine, "native", &[]);
    assert!(search.problems.is_empty(), "{:?}", search.problems);
    let [found] = search.found.as_slice() else {
        panic!("{:?}", search.found);
    };
    assert_eq!((&found.path, &found.profile.machine), (&before, &machine));
    assert_eq!(found.profile.workloads, earlier.workloads);
    assert_eq!(
        directories.search_elsewhere(&machine, "native", &[]).len(),
        0
    );
    let path = directories.user_profile(&machine.id, "native").unwrap();
    let continued = load_to_continue(&path, &machine).unwrap().unwrap();
    assert_eq!(continued.workloads, earlier.workloads);
    // What lies in its new place goes before it.
    let mut newer = continued.clone();
    newer.workloads.truncate(1);
    newer.entries = 1;
    save(&path, &newer).unwrap();
    let continued = load_to_continue(&path, &machine).unwrap().unwrap();
    assert_eq!(continued.workloads.len(), 1);
    // What it says of other workloads, or said before, is nobody's word any more.
    let search = directories.search(&machine, "native", &[]);
    let paths: Vec<&PathBuf> = search.found.iter().map(|found| &found.path).collect();
    assert_eq!(paths, [&path]);
}

#[test]
fn other_machines_with_the_same_processor_are_found_apart() {
    let directory = tempfile::tempdir().unwrap();
    let directories = Directories {
        user: None,
        system: vec![directory.path().join("etc"), directory.path().join("var")],
    };
    let put = |place: usize, id: &str, edit: &dyn Fn(&mut Profile)| {
        let mut other = profile();
        other.machine.id = id.to_owned();
        edit(&mut other);
        let path = directories.system[place].join(id).join("native.toml");
        save(&path, &other).unwrap();
        path
    };
    let (_, machine) = of_earlier();
    let far = put(1, "made-up-8-2s16c16t-000001", &|_| {});
    let near = put(0, "made-up-8-1s4c4t-000002", &|_| {});
    put(0, "made-up-8-1s4c4t-000003", &|p| {
        p.machine.cpu_model = "Made Up 8x".to_owned();
    });
    put(0, "made-up-8-1s4c4t-000004", &|p| {
        p.machine.isa = vec!["sse2".to_owned()];
    });
    put(0, "unlike-1s4c4t-000005", &|_| {});
    put(0, &machine.id.clone(), &|_| {});
    let broken = directories.system[0].join("made-up-8-broken");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("native.toml"), "schema = ").unwrap();
    let found = directories.search_elsewhere(&machine, "native", &[]);
    let paths: Vec<&PathBuf> = found.iter().map(|found| &found.path).collect();
    assert_eq!(paths, [&near, &far]);
    let all = found.iter().flat_map(|found| &found.profile.workloads);
    assert!(all.clone().count() > 0 && all.clone().all(|entry| entry.elsewhere.is_some()));
}

#[test]
fn the_search_passes_over_broken_files_and_remembers_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let fingerprint = profile().machine;
    let machine = fingerprint.id.as_str();
    let directories = Directories {
        user: Some(at("user")),
        system: vec![at("etc"), at("var"), at("usr")],
    };
    assert!(
        directories
            .search(&fingerprint, "native", &[])
            .found
            .is_empty()
    );
    save(&at("usr").join(machine).join("native.toml"), &profile()).unwrap();
    save(&at("var").join(machine).join("native.toml"), &profile()).unwrap();
    let broken = directories.user_profile(machine, "native").unwrap();
    fs::create_dir_all(broken.parent().unwrap()).unwrap();
    fs::write(&broken, "schema = ").unwrap();
    let search = directories.search(&fingerprint, "native", &[]);
    let found: Vec<&PathBuf> = search.found.iter().map(|found| &found.path).collect();
    let file = |name| at(name).join(machine).join("native.toml");
    assert_eq!(found, [&file("var"), &file("usr")]);
    assert_eq!(search.problems.len(), 1);
    assert!(search.problems[0].to_string().contains("line 1"));
}

#[test]
fn a_place_that_cannot_be_written_is_told_beforehand() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let message = check_writable(&file.join("m/native.toml"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("cannot create the directory"), "{message}");
    // Root writes everywhere but where the kernel itself refuses.
    let message = check_writable(Path::new("/proc/threadtune.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("cannot create a file beside /proc/threadtune.toml"),
        "{message}"
    );
    let fine = directory.path().join("m/native.toml");
    check_writable(&fine).unwrap();
    assert_eq!(fs::read_dir(fine.parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn leftovers_of_a_dead_process_and_planted_links_are_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let name = |n: u32| {
        directory
            .path()
            .join(format!(".native.toml.{}-{n}.tmp", std::process::id()))
    };
    fs::write(name(0), "half a pro").unwrap();
    symlink(&victim, name(1)).unwrap();
    save(&path, &profile()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(fs::read_to_string(name(0)).unwrap(), "half a pro");
}

#[test]
fn a_torn_profile_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    fs::write(&path, &TEXT[..TEXT.len() / 2]).unwrap();
    check_writable(&path).unwrap();
    save(&path, &profile()).unwrap();
    assert_eq!(load(&path).unwrap(), profile());
}

#[test]
fn a_torn_file_is_noticed_by_who_reads_one_entry_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    // as this program writes it
    save(&path, &profile()).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let id = &profile().machine;
    let first = [profile().workloads[0].name.clone()];
    let one = load_for(&path, id, &first).unwrap();
    assert_eq!((one.workloads.len(), one.entries), (1, profile().entries));
    assert_eq!(one.workloads[0], profile().workloads[0]);
    for end in 0..whole.len() - 1 {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(
            load_for(&path, id, &first).is_err(),
            "{end} of {} bytes",
            whole.len()
        );
    }
}
