//! What the node enforces, read from the pins alone.

use crate::bind;
use crate::cgroup;
use crate::devices;
use crate::error::Result;
use crate::pins::{Pins, possible_cpus};
use crate::programs;
use crate::resolvers;
use crate::swap::generation_of;
use fqdn_image::abi::{LEARNED_QUOTA, REASONS, Record, Usage};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Everything, for programs; `enforcing` says whether all is well.
pub fn json(pins: &Pins) -> Result<Value> {
    pins.check_abi()?;
    let active = pins.slot(0)?;
    let previous = pins.slot(1)?;
    let attached = programs::attached(pins);
    let digest = active.as_ref().map(|(d, _)| d.clone());
    let generation = digest.as_deref().map_or(0, generation_of);
    let image = active.as_ref().map(|(_, map)| map.image()).transpose()?;
    let mut bound = Vec::new();
    for bind::Bound { id, told, gone } in bind::workloads(pins)? {
        let missing = image.as_ref().map(|image| bind::missing_keys(image, &told)).unwrap_or_default();
        bound.push(json!({
            "cgroup": told.path, "id": id, "namespace": told.namespace, "labels": told.labels,
            "serves_dns": told.serves_dns, "packet_sockets_allowed": told.packet_sockets,
            "learned": used(pins, id)?.learned, "learned_most": LEARNED_QUOTA,
            "mode": if gone { "gone" } else if told.audit { "audit" } else { "enforce" },
            "alive": cgroup::id(&told.path).is_ok_and(|now| now == id), "labels_not_given": missing,
        }));
    }
    let mut fill = serde_json::Map::new();
    for name in [
        "workloads",
        "bindings",
        "resolvers",
        "locals",
        "pending",
        "learned",
        "names",
        "usage",
        "peers",
        "stream_owners",
        "devices",
    ] {
        let map = pins.map(name)?;
        fill.insert(name.into(), json!({"entries": map.keys()?.len(), "most": map.info()?.entries}));
    }
    let programs: serde_json::Map<String, Value> = programs::instructions(pins)
        .into_iter()
        .map(|(hook, n)| (hook.name.into(), json!({"attached": programs::is_attached(pins, &hook), "verified_instructions": n})))
        .collect();
    Ok(json!({
        "enforcing": attached && digest.is_some(),
        "digest": digest,
        "generation": format!("{generation:016x}"),
        "previous": previous.map(|(d, _)| d),
        "attach_point": programs::attach_point(pins)?,
        "programs": programs,
        "resolvers": resolvers::list(pins, generation)?,
        "resolver_source": programs::resolver_source(pins)?,
        "profile": image.as_ref().map(|i| i.profile().lines().map(str::to_owned).collect::<Vec<_>>()),
        "bindings": bound,
        "maps": fill,
        "devices_not_covered": not_covered(pins)?,
        "devices_passed_by": devices::passed_by(pins)?.iter().map(|(index, netns)| json!({"ifindex": index, "netns_cookie": netns})).collect::<Vec<_>>(),
        "sweep_longest_ns": pins.node()?.sweep_longest,
        "counters": counters(pins)?,
    }))
}

fn used(pins: &Pins, id: u64) -> Result<Usage> {
    Ok(pins.map("usage")?.get(&id.to_le_bytes())?.and_then(|bytes| Usage::read(&bytes)).unwrap_or_else(Usage::zeroed))
}

/// Namespaces of workloads' processes with devices at which our program is not the first: queries refused there get no answer.
fn not_covered(pins: &Pins) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for bound in bind::workloads(pins)?.iter().filter(|bound| !bound.gone) {
        let (namespaces, more) = devices::namespaces(None, &bound.told.path);
        if more > 0 {
            found.push(
                json!({"cgroup": bound.told.path, "netns": format!("{more} more network namespaces"), "devices": Value::Null}),
            );
        }
        for netns in namespaces {
            let names = devices::uncovered(pins, &netns);
            let known = names.as_ref().map(|names| json!(names)).unwrap_or(Value::Null);
            if names.is_err() || known != json!([]) {
                found.push(json!({"cgroup": bound.told.path, "netns": netns.to_string(), "devices": known}));
            }
        }
    }
    Ok(found)
}

/// Every counter, by its name.
pub fn counters(pins: &Pins) -> Result<serde_json::Map<String, Value>> {
    let stats = pins.map("stats")?;
    let cpus = possible_cpus();
    let mut out = serde_json::Map::new();
    for (index, (_, name, _)) in REASONS.iter().enumerate() {
        out.insert((*name).into(), json!(stats.sum(&(index as u32).to_le_bytes(), cpus)?));
    }
    Ok(out)
}

/// The same for people.
pub fn human(status: &Value) -> String {
    let mut out = String::new();
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let list = |v: &Value| v.as_array().into_iter().flatten().map(&text).collect::<Vec<_>>();
    let _ = writeln!(out, "enforcing     {}", if status["enforcing"] == json!(true) { "yes" } else { "NO" });
    let _ = writeln!(out, "digest        {}", text(&status["digest"]));
    let _ = writeln!(out, "generation    {}", text(&status["generation"]));
    let _ = writeln!(out, "previous      {}", text(&status["previous"]));
    let _ = writeln!(out, "attached to   {}", text(&status["attach_point"]));
    let source = text(&status["resolver_source"]);
    let _ = writeln!(out, "resolvers     {} (from {source})", list(&status["resolvers"]).join(", "));
    for line in list(&status["profile"]) {
        let _ = writeln!(out, "profile       {line}");
    }
    let _ = writeln!(out, "\nprograms");
    for (name, program) in status["programs"].as_object().into_iter().flatten() {
        let state = if program["attached"] == json!(true) { "attached" } else { "MISSING" };
        let _ = writeln!(out, "  {name:<18} {state:<9} {} instructions verified", program["verified_instructions"]);
    }
    let _ = writeln!(out, "\nworkloads");
    for bound in status["bindings"].as_array().into_iter().flatten() {
        let gone = if bound["alive"] == json!(true) { "" } else { "  (cgroup is gone)" };
        let _ = writeln!(
            out,
            "  {} {} {} {}{}{}{gone}",
            text(&bound["cgroup"]),
            text(&bound["namespace"]),
            text(&bound["labels"]),
            text(&bound["mode"]),
            if bound["serves_dns"] == json!(true) { " serves-dns" } else { "" },
            if bound["packet_sockets_allowed"] == json!(true) { " packet-sockets-allowed" } else { "" }
        );
        // From nine tenths on.
        if bound["learned"].as_u64().unwrap_or(0) * 10 >= bound["learned_most"].as_u64().unwrap_or(0) * 9 {
            let _ = writeln!(
                out,
                "    its share of learned addresses is nearly full: {} of {}",
                bound["learned"], bound["learned_most"]
            );
        }
        for key in list(&bound["labels_not_given"]) {
            let _ = writeln!(out, "    policies ask for label {key}, which bind was not told");
        }
    }
    for place in status["devices_not_covered"].as_array().into_iter().flatten() {
        let devices =
            if place["devices"].is_null() { "(cannot be looked at)".into() } else { list(&place["devices"]).join(", ") };
        let _ = writeln!(
            out,
            "  {}: refused queries get no answer at devices of {}: {devices}",
            text(&place["cgroup"]),
            text(&place["netns"])
        );
    }
    for device in status["devices_passed_by"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "  another program lets refused queries pass by ours at device {} (netns cookie {})",
            device["ifindex"], device["netns_cookie"]
        );
    }
    let _ = writeln!(out, "\nmaps");
    for (name, map) in status["maps"].as_object().into_iter().flatten() {
        let _ = writeln!(out, "  {name:<18} {} of {}", map["entries"], map["most"]);
    }
    let _ = writeln!(out, "\ncounters");
    for (name, count) in status["counters"].as_object().into_iter().flatten() {
        if count.as_u64().unwrap_or(0) > 0 {
            let _ = writeln!(out, "  {name:<22} {count}");
        }
    }
    out
}
