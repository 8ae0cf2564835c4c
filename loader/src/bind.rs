//! Which cgroups are workloads, and which subjects of which image select them.

use crate::cgroup;
use crate::devices::{self, Covered, Netns};
use crate::error::{Error, Result};
use crate::locals;
use crate::pins::{Pins, wait_for_programs};
use crate::resolvers::Resolvers;
use crate::sockets;
use fqdn_image::Image;
use fqdn_image::abi::{
    self, Binding, BindingKey, MODE_AUDIT, MODE_ENFORCE, MODE_GONE, Owned, Peers, PendingKey, PendingPage, Record, Spoken,
    Workload,
};
use fqdn_image::labels::Labels;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// A workload as `bind` was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Folder of the cgroup.
    pub path: PathBuf,
    /// Namespace.
    pub namespace: String,
    /// `k=v,...`
    pub labels: String,
    /// Refused packets pass.
    pub audit: bool,
    /// It is a resolver, and may answer as one.
    pub serves_dns: bool,
    /// Packet sockets that are open already do not keep it from being bound.
    pub packet_sockets: bool,
}

/// A workload as the node has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Id of the cgroup.
    pub id: u64,
    /// What `bind` was told.
    pub told: Told,
    /// The cgroup was removed; sockets that outlive it are denied, and the kernel forgets it with the last of them.
    pub gone: bool,
}

impl Told {
    fn record(&self) -> Result<Workload> {
        let mut record = Workload::zeroed();
        let path = self.path.as_os_str().as_encoded_bytes();
        let text = [self.namespace.as_bytes(), self.labels.as_bytes(), path].concat();
        let fail =
            || Error::refused(format!("namespace, labels and path of a workload together are over {} bytes", record.text.len()));
        if text.len() > record.text.len() {
            return Err(fail());
        }
        record.mode = if self.audit { MODE_AUDIT } else { MODE_ENFORCE };
        record.flags = if self.serves_dns { abi::WORKLOAD_SERVES } else { 0 };
        record.flags |= if self.packet_sockets { abi::WORKLOAD_PACKETS } else { 0 };
        record.namespace_len = self.namespace.len() as u16;
        record.labels_len = self.labels.len() as u16;
        record.path_len = path.len() as u16;
        record.text[..text.len()].copy_from_slice(&text);
        Ok(record)
    }

    fn of(record: &Workload) -> Told {
        let part = |from: usize, len: u16| {
            String::from_utf8_lossy(record.text.get(from..from + usize::from(len)).unwrap_or(&[])).into_owned()
        };
        let namespace = usize::from(record.namespace_len);
        let labels = usize::from(record.labels_len);
        Told {
            namespace: part(0, record.namespace_len),
            labels: part(namespace, record.labels_len),
            path: PathBuf::from(part(namespace + labels, record.path_len)),
            audit: record.mode == MODE_AUDIT,
            serves_dns: record.flags & abi::WORKLOAD_SERVES != 0,
            packet_sockets: record.flags & abi::WORKLOAD_PACKETS != 0,
        }
    }
}

/// Every workload.
pub fn workloads(pins: &Pins) -> Result<Vec<Bound>> {
    let map = pins.map("workloads")?;
    let mut found = Vec::new();
    for key in map.keys()? {
        if let (Some(value), Ok(id)) = (map.get(&key)?, <[u8; 8]>::try_from(key.as_slice()))
            && let Some(record) = Workload::read(&value)
        {
            found.push(Bound { id: u64::from_le_bytes(id), told: Told::of(&record), gone: record.mode == MODE_GONE });
        }
    }
    found.sort_by(|a, b| (&a.told.path, a.id).cmp(&(&b.told.path, b.id)));
    Ok(found)
}

/// The binding of a workload to an image.
fn binding(image: &Image, told: &Told) -> Result<Binding> {
    let labels = Labels::parse(&told.labels, &told.namespace).map_err(Error::refused)?;
    let subjects = image.subjects_of(&labels);
    let mut binding = Binding::zeroed();
    if subjects.ids.len() > binding.subjects.len() {
        return Err(Error::refused(format!(
            "{} subjects select `{}`, at most {} can",
            subjects.ids.len(),
            told.path.display(),
            binding.subjects.len()
        )));
    }
    binding.flags = if subjects.enforced { abi::BINDING_ENFORCED } else { 0 };
    binding.flags |= if subjects.denies { abi::BINDING_DENIES } else { 0 };
    binding.count = subjects.ids.len() as u32;
    binding.subjects[..subjects.ids.len()].copy_from_slice(&subjects.ids);
    Ok(binding)
}

/// Keys that a selector asks for and no label gives: such a rule can never select this workload.
pub fn missing_keys(image: &Image, told: &Told) -> Vec<String> {
    let Ok(labels) = Labels::parse(&told.labels, &told.namespace) else { return Vec::new() };
    let mut keys: Vec<String> = (1..image.texts.subjects_n)
        .filter_map(|i| fqdn_image::labels::Selector::parse(image.subject(i).0))
        .flat_map(|s| s.missing_keys(&labels).map(str::to_owned).collect::<Vec<_>>())
        .filter(|key| key.contains("io.cilium.k8s.policy"))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

fn write(pins: &Pins, image: &Image, id: u64, told: &Told) -> Result<()> {
    let key = BindingKey { cgroup: id, generation: image.head.generation };
    let map = pins.map("bindings")?;
    let mut fresh = binding(image, told)?;
    let have = map.get(key.bytes())?.and_then(|bytes| Binding::read(&bytes));
    // What the programs noted there is none of ours.
    let have = have.map(|have| Binding { asked: fresh.asked, learned: fresh.learned, ..have });
    // Another version makes the programs judge every flow of the workload anew: only if something is another.
    fresh.version = have.map_or(0, |have| have.version);
    if have != Some(fresh) {
        fresh.version = next_epoch(pins)?;
    } else {
        return Ok(());
    }
    map.replace(key.bytes(), fresh.bytes())
}

/// A number that no binding has had. INVARIANT: stored before it is used, so that a loader which dies in between, or an
/// apply that is followed by a relabel, never gives the same version to other subjects.
fn next_epoch(pins: &Pins) -> Result<u64> {
    let mut node = pins.node()?;
    node.epoch += 1;
    pins.set_node(&node)?;
    Ok(node.epoch)
}

/// Binds every workload to an image, before it is published.
pub fn fill(pins: &Pins, image: &Image) -> Result<()> {
    for bound in workloads(pins)?.iter().filter(|bound| !bound.gone) {
        write(pins, image, bound.id, &bound.told)?;
    }
    Ok(())
}

/// Forgets the bindings of other generations than these.
pub fn keep(pins: &Pins, generations: &[u64]) -> Result<()> {
    let map = pins.map("bindings")?;
    for key in map.keys()? {
        if BindingKey::read(&key).is_some_and(|k| !generations.contains(&k.generation)) {
            map.remove(&key)?;
        }
    }
    Ok(())
}

/// Counts the workloads and tells the programs to look again.
pub fn bump(pins: &Pins) -> Result<()> {
    let mut node = pins.node()?;
    node.workloads = pins.map("workloads")?.keys()?.len() as u32;
    node.epoch += 1;
    pins.set_node(&node)
}

/// Binds a cgroup; idempotent. The workload is written first: a packet in between is denied, never unbound.
pub fn bind(pins: &Pins, told: &Told) -> Result<u64> {
    pins.check_abi()?;
    let id = cgroup::id(&told.path)?;
    cgroup::check_depth(&told.path)?;
    let told = &Told {
        path: std::fs::canonicalize(&told.path).map_err(|e| Error::io("open cgroup", told.path.display(), &e))?,
        ..told.clone()
    };
    let images: Vec<Image> =
        [0, 1].into_iter().filter_map(|slot| pins.slot(slot).transpose()).map(|found| found?.1.image()).collect::<Result<_>>()?;
    for image in &images {
        binding(image, told)?; // refused before anything is written
    }
    // Of one that is bound already nothing was opened behind the programs' back, and what it opened must not keep it from a
    // stricter policy.
    if pins.map("workloads")?.get(&id.to_le_bytes())?.is_none() {
        refuse_sockets(pins, told, images.first())?;
    }
    let map = pins.map("workloads")?;
    let others = map.keys()?.iter().filter(|key| **key != id.to_le_bytes()).count() as u32;
    if (others + 1) * abi::RESERVED_LEAST > abi::LEARNED_MOST / 2 {
        return Err(Error::refused(format!(
            "{others} workloads are bound, each with {} learned addresses of its own: there is no room for another",
            abi::RESERVED_LEAST
        )));
    }
    make_room(pins, id)?;
    map.replace(&id.to_le_bytes(), told.record()?.bytes())?;
    for image in &images {
        write(pins, image, id, told)?;
    }
    // A cgroup that was removed and made anew has another id: what was said of the old one is over.
    let old = |bound: &Bound| bound.id != id && bound.told.path == told.path && !bound.gone;
    forget(pins, &ids(pins, old)?)?;
    bump(pins)?;
    Ok(id)
}

/// What its processes have open already and no program will meet: ways round the policy, and a resolver's own place.
fn refuse_sockets(pins: &Pins, told: &Told, active: Option<&Image>) -> Result<()> {
    let path = told.path.display();
    let open = sockets::of_cgroup(&told.path)?;
    if let Some(socket) = open.iter().find(|socket| socket.poses()) {
        return Err(Error::refused(format!(
            "process {} in `{path}` has a socket open that may send under any address, IP_FREEBIND or IP_TRANSPARENT (close it, then bind)",
            socket.process
        )));
    }
    if let Some(socket) = open.iter().find(|socket| socket.sends_frames() && !told.packet_sockets) {
        return Err(Error::refused(format!(
            "process {} in `{path}` has a packet socket open, which sends past the policy (close it, or --allow-packet-sockets)",
            socket.process
        )));
    }
    let away = |process: &u32| !devices::is_own_namespace(*process);
    if !told.packet_sockets
        && let Some(process) =
            cgroup::process_ids(&told.path).into_iter().filter(away).find(|p| sockets::any_packet_socket_beside(*p))
    {
        return Err(Error::refused(format!(
            "a packet socket is open in the network namespace of process {process} in `{path}`, and may be handed to it (close it, or --allow-packet-sockets)"
        )));
    }
    let Some(image) = active.filter(|_| !told.serves_dns) else { return Ok(()) };
    let set = Resolvers::of(pins, image.head.generation)?;
    for socket in &open {
        let Some(at) = socket.serves_at().filter(|at| image.dns_ports().any(|port| port == at.port())) else { continue };
        let serves = if at.ip().is_unspecified() {
            locals::of_process(socket.process).into_iter().any(|own| set.holds(own))
        } else {
            set.holds(v6(at.ip()))
        };
        if serves {
            return Err(Error::refused(format!(
                "process {} in `{path}` answers at {at}, a resolver's place: bound, its answers would be dropped (--serves-dns lets them pass)",
                socket.process
            )));
        }
    }
    Ok(())
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn ids(pins: &Pins, which: impl Fn(&Bound) -> bool) -> Result<Vec<u64>> {
    Ok(workloads(pins)?.iter().filter(|bound| which(bound)).map(|bound| bound.id).collect())
}

fn pages(id: u64) -> impl Iterator<Item = PendingKey> {
    (0..u64::from(abi::PENDING_PAGES)).map(move |page| PendingKey { cgroup: id, page })
}

/// What the programs write for a workload, where it has none: they take no memory for a packet.
fn make_room(pins: &Pins, id: u64) -> Result<()> {
    let (pending, spoken, owned, peers) = (pins.map("pending")?, pins.map("spoken")?, pins.map("owned")?, pins.map("peers")?);
    for key in pages(id) {
        if pending.get(key.bytes())?.is_none() {
            pending.replace(key.bytes(), PendingPage::zeroed().bytes())?;
        }
    }
    if spoken.get(&id.to_le_bytes())?.is_none() {
        spoken.replace(&id.to_le_bytes(), Spoken::zeroed().bytes())?;
    }
    if peers.get(&id.to_le_bytes())?.is_none() {
        peers.replace(&id.to_le_bytes(), &vec![0; size_of::<Peers>()])?;
    }
    if owned.get(&id.to_le_bytes())?.is_none() {
        owned.replace(&id.to_le_bytes(), &vec![0; size_of::<Owned>()])?;
    }
    Ok(())
}

/// Forgets what is there for workloads that are bound no more: a loader died in between.
pub fn forget_strangers(pins: &Pins) -> Result<()> {
    let bound = ids(pins, |_| true)?;
    let mut strangers: Vec<u64> =
        pins.map("pending")?.keys()?.iter().filter_map(|key| PendingKey::read(key)).map(|key| key.cgroup).collect();
    strangers.sort_unstable();
    strangers.dedup();
    strangers.retain(|id| !bound.contains(id));
    forget(pins, &strangers)
}

/// Gives the devices of a network namespace their program; without it a refused query is dropped.
pub fn cover(pins: &Pins, netns: &Netns) -> Result<Covered> {
    devices::forget_gone(pins)?;
    devices::cover(pins, netns)
}

/// The same for the namespaces of every workload's processes: devices that are new since, and those at which another program
/// came before ours. What could not be done, a line each: a policy is in force all the same.
pub fn cover_all(pins: &Pins) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    devices::forget_gone(pins)?;
    for bound in workloads(pins)?.iter().filter(|bound| !bound.gone) {
        for netns in devices::namespaces(None, &bound.told.path).0 {
            if let Err(error) = devices::cover(pins, &netns) {
                failed.push(format!("devices of `{}`: {error}", bound.told.path.display()));
            }
        }
    }
    Ok(failed)
}

/// Unbinds a cgroup; idempotent. True = it was bound. The folder may be gone already.
pub fn unbind(pins: &Pins, path: &Path) -> Result<bool> {
    pins.check_abi()?;
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let here = |bound: &Bound| bound.told.path == real || bound.told.path == path;
    if ids(pins, here)?.is_empty() {
        return Ok(false);
    }
    // What is left of one whose cgroup is gone stays denied, until its last socket is closed.
    forget(pins, &ids(pins, |bound| here(bound) && !bound.gone)?)?;
    bump(pins)?;
    Ok(true)
}

/// The sweep frees at once what workloads that are bound no more have learned.
fn hurry(pins: &Pins) -> Result<()> {
    let map = pins.map("gone")?;
    let value = map.get(&0u32.to_le_bytes())?.and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok()).unwrap_or_default();
    map.set(&0u32.to_le_bytes(), &(u64::from_le_bytes(value) + 1).to_le_bytes())
}

/// Removes workloads, then their bindings: in between they are unbound, never denied.
fn forget(pins: &Pins, ids: &[u64]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let map = pins.map("workloads")?;
    for id in ids {
        map.remove(&id.to_le_bytes())?;
    }
    let bindings = pins.map("bindings")?;
    for key in bindings.keys()? {
        if BindingKey::read(&key).is_some_and(|k| ids.contains(&k.cgroup)) {
            bindings.remove(&key)?;
        }
    }
    let of_each = ["usage", "spoken", "peers", "owned"].map(|map| pins.map(map)).into_iter().collect::<Result<Vec<_>>>()?;
    let pending = pins.map("pending")?;
    for &id in ids {
        for map in &of_each {
            map.remove(&id.to_le_bytes())?;
        }
        for key in pages(id) {
            pending.remove(key.bytes())?;
        }
    }
    hurry(pins)?;
    wait_for_programs()
}
