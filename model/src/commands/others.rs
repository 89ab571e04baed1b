//! The gate's other subcommands.
//!
//! Guarantees: as `commands`. Refuses to know: how anything is checked.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Instant;

use snapshot_receiver::protocol::Crc32c;
use snapshot_receiver_model::bugs::hunt::{Defect, control, defects, hunt, hunt_all};
use snapshot_receiver_model::bugs::{Bug, Bugs, claims};
use snapshot_receiver_model::check::Blindness;
use snapshot_receiver_model::conform::recorded::{self, RecordedError};
use snapshot_receiver_model::exploration::Exploration;
use snapshot_receiver_model::fuzzing::record::{InputTrace, Recorded};
use snapshot_receiver_model::layers::LAYERS;
use snapshot_receiver_model::lies;
use snapshot_receiver_model::properties::rules;
use snapshot_receiver_model::replay::{ReplayError, replay as take_again};
use snapshot_receiver_model::report::diagram::{describe, diagram, state_lines};
use snapshot_receiver_model::report::results::{BugResult, Results};
use snapshot_receiver_model::report::{collect, mermaid, svg, terminal};
use snapshot_receiver_model::search::follow;
use snapshot_receiver_model::system::{Profile, systems};
use snapshot_receiver_model::trace::{Trace, TraceError};
use snapshot_receiver_model::traceability::{self, Standing};
use snapshot_receiver_model::witnesses::Witness;
use stateright::{Checker, Model};

use super::fuzz::interleavings;
use super::{
    BugOptions, COULD_NOT_CHECK, FAILED, LayerOptions, NOTHING_RAN, PASS, USAGE, completed, exit_code, usage, write,
};

/// States of each small system in which the starting design's defects are looked for.
const DEFECT_STATES_MAX: usize = 30_000;

pub(super) fn bugs(options: &BugOptions) -> io::Result<u8> {
    let unknown = options.bug.iter().find(|name| Bug::named(name).is_none());
    if let Some(name) = unknown {
        return usage(&format!("no bug {name:?}; `gate list` lists them"));
    }
    let Some(layers) = options.layers.read() else {
        return Ok(COULD_NOT_CHECK);
    };
    // A seeded bug may make `step` panic: that is a broken rule, and is told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let own_defects = control();
    if !own_defects.is_empty() {
        tell_failed_control(&own_defects);
        return Ok(FAILED);
    }
    println!("control: the receiver without a seeded bug breaks no rule where they are looked for\n");
    println!("{}", terminal::BUGS_HEADING);
    let tell = |result: &BugResult| println!("{}", terminal::bug(result));
    let mut bugs = if options.bug.is_empty() {
        hunt_all(Blindness::default(), tell)
    } else {
        let named = options.bug.iter().filter_map(|name| Bug::named(name));
        let hunted = named.map(|bug| hunt(bug, Blindness::default()));
        hunted.inspect(tell).collect()
    };
    let own = bugs.len();
    if options.bug.is_empty() {
        layers.add_to(&mut bugs);
        bugs[own..].iter().for_each(tell);
        tell_layers(&bugs);
        tell_defects();
    }
    let results = Results {
        profile: Profile::Quick.name().to_owned(),
        seconds: started.elapsed().as_secs_f64(),
        bugs,
        clauses: collect::clauses(&layers),
        ..Results::default()
    }
    .judged();
    options.files.write(&results)?;
    write(&options.svg, svg::matrix, &results)?;
    let is_incomplete = options.bug.is_empty() && options.layers.tell(&layers);
    let (all, seconds) = (results.bugs.len(), results.seconds);
    let survived = results.bugs.iter().filter(|bug| !bug.is_caught).count();
    let mut out = io::stdout().lock();
    if survived == 0 {
        writeln!(
            out,
            "\npass: each of {all} seeded bugs is caught by a check of a clause that it breaks; {seconds:.0} s"
        )?;
    } else {
        writeln!(
            out,
            "\nFAIL: {survived} of {all} bugs were not caught by a check of a clause that they break"
        )?;
    }
    Ok(completed(exit_code(results.verdict), is_incomplete))
}

/// How many bugs of each layer were caught there, and which were not run at all.
fn tell_layers(bugs: &[BugResult]) {
    for layer in LAYERS {
        let cells = bugs
            .iter()
            .flat_map(|bug| bug.layers.iter().map(|cell| (bug.id.as_str(), cell)));
        let of_layer: BTreeMap<&str, bool> = cells
            .filter(|(_, (of, _))| of == layer.name)
            .map(|(id, (_, is_caught))| (id, *is_caught))
            .collect();
        let caught = of_layer.values().filter(|is_caught| **is_caught).count();
        let claims = layer.claims.map_or(Vec::new(), |claims| claims());
        let not_run = claims.iter().filter(|claim| !of_layer.contains_key(claim.name)).count();
        let (name, command) = (layer.name, layer.command);
        // That a layer has no results is told at the end, with the reason.
        if of_layer.is_empty() {
            continue;
        }
        let (all, survived) = (of_layer.len() + not_run, of_layer.len() - caught);
        let missing = match not_run {
            0 => String::new(),
            _ => format!(", {not_run} not run (`{command}` runs them)"),
        };
        println!("{name}: {caught} of {all} bugs caught, {survived} survived{missing}");
    }
}

fn tell_defects() {
    println!("\nthe starting design as a whole (A in SPEC.md, Incidents), and what the checker finds in it unasked:");
    defects(Bugs::starting_design(), DEFECT_STATES_MAX)
        .iter()
        .for_each(tell_defect);
}

fn tell_failed_control(own: &[Defect]) {
    println!("without any bug seeded, the receiver breaks:");
    own.iter().for_each(tell_defect);
    println!(
        "\nFAIL: the receiver breaks {} rules by itself, so that catching a seeded bug would show nothing; none was \
         hunted. `cargo gate` shows what is wrong",
        own.len()
    );
}

fn tell_defect(defect: &Defect) {
    println!("{:>5} steps  {:<24}  {}", defect.steps, defect.system, defect.rule);
}

pub(super) fn spec(markdown: bool, options: &LayerOptions) -> io::Result<u8> {
    if markdown {
        print!("{}\n{}", traceability::prose(), traceability::table());
        return Ok(PASS);
    }
    let Some(layers) = options.read() else {
        return Ok(COULD_NOT_CHECK);
    };
    let traces = traceability::traces_with(&layers);
    println!("{}", traceability::listing(&traces));
    let is_incomplete = options.tell(&layers);
    let count = |wanted: fn(&Standing) -> bool| traces.iter().filter(|trace| wanted(&trace.standing())).count();
    let verified = count(|standing| matches!(standing, Standing::Verified | Standing::VerifiedBy(_)));
    let pending = count(|standing| matches!(standing, Standing::Pending(_)));
    let survived = count(|standing| matches!(standing, Standing::Survived(_)));
    let unverified = count(|standing| matches!(standing, Standing::Unverified));
    println!(
        "\n{} clauses: {verified} verified, {pending} pending (only another layer can seed a bug), \
         {survived} with a surviving bug, {unverified} unverified",
        traces.len()
    );
    let code = if survived + unverified == 0 { PASS } else { FAILED };
    Ok(completed(code, is_incomplete))
}

/// The lie that only a checker of schedules can tell.
const SCHEDULES: &str = "a schedule body that returns early";

pub(super) fn lies(options: &LayerOptions) -> io::Result<u8> {
    let Some(layers) = options.read() else {
        return Ok(COULD_NOT_CHECK);
    };
    let lies = lies::lies();
    let own = lies.iter().map(|lie| (lie.about.to_owned(), lie.noticed.clone()));
    let elsewhere = layers.lies().map(|(layer, lie)| {
        let noticed = lie.is_noticed.then(|| format!("{} (layer {layer})", lie.by));
        (lie.id.clone(), noticed)
    });
    let all: Vec<(String, Option<String>)> = own.chain(elsewhere).collect();
    for (about, noticed) in &all {
        println!("{about:<40} {}", noticed.as_deref().unwrap_or("NOT NOTICED"));
    }
    let is_pending = !layers.lies().any(|(_, lie)| lie.is_of_schedules());
    if is_pending {
        println!("{SCHEDULES:<40} pending: no layer's lies[] has it");
        options.tell(&layers);
    }
    let unnoticed = all.iter().filter(|(_, noticed)| noticed.is_none()).count();
    if unnoticed > 0 {
        println!("\nFAIL: {unnoticed} of {} lies were not noticed", all.len());
        return Ok(FAILED);
    }
    let pending = if is_pending { "; one is pending" } else { "" };
    println!("\npass: each of {} lies turned the gate red{pending}", all.len());
    Ok(completed(PASS, is_pending && options.complete))
}

pub(super) fn replay(file: &Path, as_mermaid: bool) -> io::Result<u8> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return usage(&format!("{}: {error}", file.display())),
    };
    if recorded::is_recorded(&text) {
        return if as_mermaid {
            usage("a recorded conversation has no diagram")
        } else {
            replay_conversation(file, &text)
        };
    }
    let trace = match Recorded::parse(&text) {
        Ok(Recorded::World(trace)) => trace,
        Ok(Recorded::Input(_)) if as_mermaid => return usage("a fuzz target's input has no diagram"),
        Ok(Recorded::Input(trace)) if trace.target == InputTrace::INTERLEAVE => {
            return interleavings(&["replay".as_ref(), file]);
        }
        Ok(Recorded::Input(trace)) => return replay_input(&trace),
        Err(error @ TraceError::Empty) => {
            eprintln!("gate: {}: {error}", file.display());
            return Ok(NOTHING_RAN);
        }
        Err(error @ (TraceError::Heading { .. } | TraceError::Line { .. } | TraceError::System(_))) => {
            eprintln!("gate: {}: {error}", file.display());
            return Ok(USAGE);
        }
    };
    if as_mermaid { draw(&trace) } else { replay_world(&trace) }
}

/// The way as a sequence diagram.
fn draw(trace: &Trace) -> io::Result<u8> {
    let system = match trace.find_system::<Crc32c>() {
        Ok(system) => system,
        Err(error) => return usage(&error.to_string()),
    };
    let exploration = Exploration::<Crc32c>::with_bugs(system, trace.bugs);
    let found = follow(&exploration, &trace.actions);
    print!("{}", mermaid::sequence_diagram(&diagram(&exploration, &found)));
    Ok(PASS)
}

/// Takes a way again, on the world and where that can be on real files.
fn replay_world(trace: &Trace) -> io::Result<u8> {
    let replayed = take_again(trace, |number, exploration, world, action| {
        for state in state_lines(exploration, world) {
            println!("       {state}");
        }
        println!("{number:>4}.  {}", describe(exploration, world, action));
        if let Some(reply) = exploration.reply_to(world, action) {
            println!("       answered: {reply:?}");
        }
    });
    match replayed {
        Ok(replayed) => {
            let how = if replayed.on_real_files {
                "on the world and, with the same answers and files, on the real file system"
            } else {
                "on the world alone (its bugs are seeded there)"
            };
            println!("\n{} steps taken {how}", replayed.steps);
            for rule in &replayed.violated {
                println!("broken: {rule}");
            }
            if replayed.violated.is_empty() {
                println!("no rule is broken at the end");
                return Ok(PASS);
            }
            Ok(FAILED)
        }
        Err(error @ ReplayError::Differs { .. }) => {
            eprintln!("gate: {error}");
            Ok(FAILED)
        }
        Err(error @ ReplayError::Trace(_)) => usage(&error.to_string()),
        Err(error @ (ReplayError::NotPossible { .. } | ReplayError::Files(_) | ReplayError::Id(_))) => {
            eprintln!("gate: {error}");
            Ok(COULD_NOT_CHECK)
        }
    }
}

/// Would the reference have answered so?
fn replay_conversation(file: &Path, text: &str) -> io::Result<u8> {
    let seen = match recorded::validate(text) {
        Ok(seen) => seen,
        Err(error @ RecordedError::Empty) => {
            eprintln!("gate: {}: {error}", file.display());
            return Ok(NOTHING_RAN);
        }
        Err(error @ RecordedError::Line { .. }) => return usage(&format!("{}: {error}", file.display())),
    };
    for (line, clause, what) in &seen.complaints {
        println!("line {line}: {clause} (SHOULD): {what}");
    }
    let Some(difference) = seen.difference else {
        println!("pass: the reference explains all {} answers", seen.exchanges);
        return Ok(PASS);
    };
    println!("line {}: {}", difference.line, difference.asked);
    println!("    recorded:  {}", difference.actual);
    println!("    reference: {}", difference.expected.join("; or "));
    println!("    breaks:    {}", difference.clauses.join(" "));
    println!(
        "FAIL: the reference would not have answered so, after {} answers that it explains",
        seen.exchanges
    );
    Ok(FAILED)
}

fn replay_input(trace: &InputTrace) -> io::Result<u8> {
    // A panic is a finding, and is told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let (lines, broken) = match trace.replay() {
        Ok(replayed) => replayed,
        Err(error) => return usage(&error.to_string()),
    };
    for line in lines {
        println!("    {line}");
    }
    match broken {
        None => {
            println!("\nthe input breaks nothing");
            Ok(PASS)
        }
        Some(what) => {
            println!("\n{}: {what}", trace.target);
            Ok(FAILED)
        }
    }
}

pub(super) fn explore(name: &str, bug: Option<&str>, port: u16) -> io::Result<u8> {
    let all = systems::<Crc32c>(Profile::Deep);
    let Some(system) = all
        .into_iter()
        .find(|system| system.name == name || system.label() == name)
    else {
        return usage(&format!("no system {name:?}; `gate list` lists them"));
    };
    let bugs = match bug.map(|name| (name, Bug::named(name))) {
        None => Bugs::none(),
        Some((_, Some(bug))) => bug.into(),
        Some((name, None)) => return usage(&format!("no bug {name:?}; `gate list` lists them")),
    };
    // A free port is found, and a taken one told, before the Explorer would panic over it.
    let address = match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(listener) => listener.local_addr()?,
        Err(error) => {
            eprintln!("gate: 127.0.0.1:{port}: {error}");
            return Ok(COULD_NOT_CHECK);
        }
    };
    println!("{}: {}", system.label(), system.about);
    println!("http://{address} (end with Ctrl-C): \"Init 0\", below the properties, begins a walk");
    io::stdout().flush()?;
    let mut exploration = Exploration::<Crc32c>::with_bugs(system, bugs);
    exploration.one_by_one = true;
    let checker = exploration.checker().serve(address);
    Ok(if checker.unique_state_count() == 0 {
        NOTHING_RAN
    } else {
        PASS
    })
}

pub(super) fn list() -> io::Result<u8> {
    let mut out = io::stdout().lock();
    for profile in [Profile::Quick, Profile::Full, Profile::Deep] {
        for system in systems::<Crc32c>(profile) {
            let smaller = match profile {
                Profile::Quick => None,
                Profile::Full => Some(Profile::Quick),
                Profile::Deep => Some(Profile::Full),
            };
            let known = smaller.is_some_and(|smaller| {
                let mut listed = systems::<Crc32c>(smaller).into_iter();
                listed.any(|other| other.label() == system.label())
            });
            if !known {
                writeln!(
                    out,
                    "system  {:<26} {:<5} {}",
                    system.label(),
                    profile.name(),
                    system.about
                )?;
            }
        }
    }
    for rule in rules::<Crc32c>() {
        writeln!(out, "rule    {}", rule.name)?;
    }
    for witness in Witness::ALL {
        writeln!(out, "witness {:<20} {}", format!("{witness:?}"), witness.about().trim())?;
    }
    for claim in claims() {
        let clauses = claim.clauses.join(" ");
        writeln!(out, "bug     {:<28} breaks {clauses}: {}", claim.name, claim.about)?;
    }
    Ok(PASS)
}
