//! Publishing an image: staged whole beside the old one, then one write.
//!
//! INVARIANT (I3): until `publish` the programs see the old image, after it the new one; a loader that dies
//! anywhere leaves one of the two. What it leaves behind besides, the next run removes.

use crate::bind;
use crate::bpfsys;
use crate::error::{Error, Result};
use crate::locals;
use crate::pins::{Map, Pins};
use crate::programs;
use crate::resolvers::{self, Resolvers};
use fqdn_image::Image;
use fqdn_image::abi::BLOCK;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

/// What `apply` did.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// Image, resolvers and attach point were these already.
    Unchanged,
    /// The image was active, the resolvers were not these.
    ResolversChanged,
    /// The image is active now.
    Published,
}

/// Makes an image the active one.
pub fn apply(pins: &Pins, image: &Image, resolvers: &str, cgroup: &Path) -> Result<Applied> {
    pins.create()?;
    let _lock = pins.lock()?;
    let loaded = programs::ensure(pins, cgroup)?;
    let resolvers = Resolvers::choose(resolvers, image)?;
    locals::write(pins)?;
    let digest = image.digest_hex();
    let generation = image.head.generation;
    let active = pins.slot(0)?;
    if active.as_ref().is_some_and(|(have, _)| *have == digest) {
        if resolvers.written(pins, generation)? {
            bind::bump(pins)?; // in case that whoever wrote them died before it could say so
            return Ok(if loaded { Applied::Published } else { Applied::Unchanged });
        }
        resolvers.write(pins, generation)?;
        programs::set_resolver_source(pins, resolvers.source)?;
        return Ok(Applied::ResolversChanged);
    }
    forget_leftovers(pins)?;
    refuse_other_with_same_generation(pins, image)?;
    let staged = stage(pins, image)?;
    bind::fill(pins, image)?;
    resolvers.write(pins, generation)?;
    publish(pins, &staged, active.as_ref().map(|(_, map)| map))?;
    programs::set_resolver_source(pins, resolvers.source)?;
    forget_leftovers(pins)?;
    Ok(Applied::Published)
}

/// Makes the previous image the active one; its digest.
pub fn rollback(pins: &Pins) -> Result<String> {
    let _lock = pins.lock()?;
    pins.check_abi()?;
    let (Some(active), Some((digest, previous))) = (pins.slot(0)?, pins.slot(1)?) else {
        return Err(Error::refused("there is no previous image to roll back to"));
    };
    if active.0 == digest {
        return Err(Error::refused("the previous image is the active one"));
    }
    let image = previous.image()?;
    bind::fill(pins, &image)?;
    if resolvers::list(pins, image.head.generation)?.is_empty() {
        Resolvers::choose("auto", &image)?.write(pins, image.head.generation)?;
    }
    publish(pins, &previous, Some(&active.1))?;
    forget_leftovers(pins)?;
    Ok(digest)
}

/// The generation is a short prefix of the digest, and could be ground.
fn refuse_other_with_same_generation(pins: &Pins, image: &Image) -> Result<()> {
    let digest = image.digest_hex();
    for (other, _) in pins.images()? {
        if other != digest && other[..16] == digest[..16] {
            return Err(Error::refused(format!("the image begins with the same 8 bytes as the loaded `{other}`")));
        }
    }
    Ok(())
}

/// Makes the image's map: filled, frozen, read back, pinned by its digest. The programs do not see it yet.
pub fn stage(pins: &Pins, image: &Image) -> Result<Map> {
    let name = format!("images/{}", image.digest_hex());
    let path = pins.path(&name);
    if path.exists() {
        let map = pins.map(&name)?;
        check_read_back(&map, image)?;
        return Ok(map);
    }
    let fail = |what: &str, e: &std::io::Error| Error::io(what, path.display(), e);
    let fd = bpfsys::map_create(bpfsys::MAP_TYPE_ARRAY, 4, BLOCK, image.head.blocks, bpfsys::IMAGE_FLAGS, "fqdn_image")
        .map_err(|e| fail("make the image's map", &e))?;
    bpfsys::fill(fd.as_fd(), image.bytes()).map_err(|e| fail("fill the image's map", &e))?;
    bpfsys::freeze(fd.as_fd()).map_err(|e| fail("freeze the image's map", &e))?;
    let map = Map::fresh(fd, path.clone());
    check_read_back(&map, image)?;
    bpfsys::obj_pin(map.fd.as_fd(), &path).map_err(|e| fail("pin the image's map", &e))?;
    Ok(map)
}

/// I5: what the kernel holds are the bytes whose digest was checked.
fn check_read_back(map: &Map, image: &Image) -> Result<()> {
    match bpfsys::holds(map.fd.as_fd(), image.bytes()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::refused("the kernel does not hold the image that was written; the active one stays")),
        Err(e) => Err(Error::io("read back", "the image's map", &e)),
    }
}

/// The one write. Slot 1 becomes what slot 0 was; the call returns when no program runs on the old slots.
pub fn publish(pins: &Pins, new: &Map, old: Option<&Map>) -> Result<()> {
    let slots = pins.map("image")?;
    let mut writes = Vec::new();
    writes.extend(old.map(|old| (1, old.fd.as_fd())));
    writes.push((0, new.fd.as_fd()));
    bpfsys::update_slots(slots.fd.as_fd(), &writes)
        .map_err(|e| Error::io("publish the image in", pins.path("image").display(), &e))
}

/// Bindings, resolvers and pins of images that are in no slot.
pub fn forget_leftovers(pins: &Pins) -> Result<()> {
    let mut digests = Vec::new();
    let mut generations = Vec::new();
    for slot in [0, 1] {
        if let Some((digest, _)) = pins.slot(slot)? {
            generations.push(generation_of(&digest));
            digests.push(digest);
        }
    }
    bind::keep(pins, &generations)?;
    bind::forget_strangers(pins)?;
    resolvers::keep(pins, &generations)?;
    for (digest, _) in pins.images()? {
        if !digests.contains(&digest) {
            let path = pins.path(&format!("images/{digest}"));
            fs::remove_file(&path).map_err(|e| Error::io("remove", path.display(), &e))?;
        }
    }
    Ok(())
}

/// First 8 bytes of a digest in hex.
pub fn generation_of(digest: &str) -> u64 {
    let first = digest.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    first.swap_bytes()
}
