//! Data caches of each core, and the groups that share the last level.

use super::partition::partition;
use super::topology::{CPU, CacheGroup, online_cpus};
use super::tree::Tree;
use crate::units::CpuSet;
use std::path::Path;

/// More `indexN` directories than any machine has.
const MOST_CACHES: usize = 16;
const L3: u32 = 3;

/// One cache that holds data, as one CPU's directory describes it.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    /// 1 is nearest to the core.
    pub(crate) level: u32,
    /// Bytes, where told.
    pub(crate) bytes: Option<u64>,
    /// Online CPUs that share it.
    shared: CpuSet,
}

/// The data caches of every core, in the order of the cores, nearest first.
#[derive(Debug)]
pub(crate) struct CoreCaches(pub(crate) Vec<Vec<Cache>>);

impl CoreCaches {
    /// Reads the caches of the first CPU of each core.
    pub(super) fn read(tree: &mut Tree, cores: &[CpuSet], online: &CpuSet) -> Self {
        // The first core read in full of each last-level group: its neighbours mostly look the same.
        let mut models: Vec<Vec<Indexed>> = Vec::new();
        let mut caches = Vec::with_capacity(cores.len());
        for core in cores {
            let like = core
                .first()
                .and_then(|cpu| models.iter().find_map(|m| like_model(tree, cpu, m, online)));
            let found = like.unwrap_or_else(|| {
                let found = caches_of(tree, core, online);
                models.push(found.clone());
                found
            });
            caches.push(found.into_iter().map(|indexed| indexed.cache).collect());
        }
        Self(caches)
    }
}

/// A data cache as one core sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreCache {
    /// 1 is nearest to the core.
    pub level: u32,
    /// All of it.
    pub bytes: u64,
    /// What a core can count on while the others that share it work, too. Two CPUs that share a cache are taken for the
    /// hardware threads of one core.
    pub share_bytes: u64,
}

/// The data caches of this CPU's core under `root`, nearest first; those whose size is not told are left out. `mask`
/// as for [`super::Topology::read`].
pub fn core_caches(root: &Path, cpu: u32, mask: &CpuSet) -> Vec<CoreCache> {
    let mut tree = Tree::new(root);
    let core = CpuSet::from_iter([cpu]);
    let online = online_cpus(&mut tree, Some(mask)).unwrap_or_else(|| core.clone());
    let caches = caches_of(&mut tree, &core, &online).into_iter();
    caches
        .filter_map(|Indexed { cache, .. }| {
            let bytes = cache.bytes.filter(|bytes| *bytes > 0)?;
            Some(CoreCache {
                level: cache.level,
                bytes,
                share_bytes: bytes / (cache.shared.len() as u64).div_ceil(2).max(1),
            })
        })
        .collect()
}

/// A cache and the N of its `indexN` directory.
#[derive(Debug, Clone)]
struct Indexed {
    index: usize,
    cache: Cache,
}

fn directory(cpu: u32, index: usize) -> String {
    format!("{CPU}/cpu{cpu}/cache/index{index}")
}

fn shared(tree: &mut Tree, cpu: u32, directory: &str, online: &CpuSet) -> Option<CpuSet> {
    tree.list_or_mask(
        &format!("{directory}/shared_cpu_list"),
        &format!("{directory}/shared_cpu_map"),
    )
    .map(|set| set.intersection(online))
    .filter(|set| set.contains(cpu))
}

/// The caches of a CPU that names the same mates of the last level, at the same index, as another core did: only
/// sizes are read again. A quarter of the files, where a large machine has thousands.
fn like_model(
    tree: &mut Tree,
    cpu: u32,
    model: &[Indexed],
    online: &CpuSet,
) -> Option<Vec<Indexed>> {
    let last = model.last()?;
    if !last.cache.shared.contains(cpu)
        || shared(tree, cpu, &directory(cpu, last.index), online)? != last.cache.shared
    {
        return None;
    }
    let mut caches = model.to_vec();
    for Indexed { index, cache } in &mut caches[..model.len() - 1] {
        let directory = directory(cpu, *index);
        cache.bytes = tree.bytes(&format!("{directory}/size"));
        // Only of such caches it is asked who shares them, apart from the last one.
        if cache.level >= L3 {
            cache.shared = shared(tree, cpu, &directory, online)?;
        }
    }
    Some(caches)
}

/// Instruction caches are left out: on machines with split levels the last cache may be one of instructions.
fn caches_of(tree: &mut Tree, core: &CpuSet, online: &CpuSet) -> Vec<Indexed> {
    let Some(cpu) = core.first() else {
        return Vec::new();
    };
    let mut caches: Vec<Indexed> = Vec::new();
    for index in 0..MOST_CACHES {
        let directory = directory(cpu, index);
        let Some(level) = tree.quantity(&format!("{directory}/level")) else {
            if tree.exists(&directory) {
                tree.note(format!("{directory}: no usable level; left out"));
                continue;
            }
            break;
        };
        if tree.text(&format!("{directory}/type")).as_deref() == Some("Instruction") {
            continue;
        }
        let shared = shared(tree, cpu, &directory, online).unwrap_or_else(|| {
            tree.note(format!(
                "{directory}: does not say who shares it; counted as the core's own"
            ));
            core.clone()
        });
        let cache = Cache {
            level: u32::try_from(level).unwrap_or(u32::MAX),
            bytes: tree.bytes(&format!("{directory}/size")),
            shared,
        };
        caches.push(Indexed { index, cache });
    }
    caches.sort_by_key(|indexed| indexed.cache.level);
    caches
}

/// The groups of CPUs that share the last cache that holds data; its level may differ between groups.
pub(super) fn last_level_groups(
    tree: &mut Tree,
    cores: &[CpuSet],
    caches: &CoreCaches,
) -> Vec<CacheGroup> {
    groups_of(tree, cores, caches, "last-level", <[Cache]>::last)
}

/// The groups of CPUs that share a level 3 cache, whether or not it is the last.
pub(super) fn l3_groups(
    tree: &mut Tree,
    cores: &[CpuSet],
    caches: &CoreCaches,
    llc: &[CacheGroup],
) -> Vec<CacheGroup> {
    if llc.iter().all(|group| group.level <= L3) {
        let is_l3 = |group: &&CacheGroup| group.level == L3;
        return llc.iter().filter(is_l3).cloned().collect();
    }
    groups_of(tree, cores, caches, "L3", |caches| {
        caches.iter().find(|cache| cache.level == L3)
    })
}

/// The groups of CPUs that share the cache that is picked of each core's.
fn groups_of(
    tree: &mut Tree,
    cores: &[CpuSet],
    caches: &CoreCaches,
    name: &str,
    pick: impl Fn(&[Cache]) -> Option<&Cache>,
) -> Vec<CacheGroup> {
    let picked: Vec<(u32, &Cache)> = cores
        .iter()
        .zip(&caches.0)
        .filter_map(|(core, caches)| Some((core.first()?, pick(caches)?)))
        .collect();
    let claims = picked
        .iter()
        .map(|(cpu, cache)| (*cpu, cache.shared.clone()));
    let partition = partition(claims);
    if partition.contradictory {
        tree.note(format!(
            "the CPUs' lists of {name} cache mates contradict each other: most votes decided"
        ));
    }
    partition
        .groups
        .into_iter()
        .map(|cpus| {
            let members = || {
                picked
                    .iter()
                    .filter(|(cpu, _)| cpus.contains(*cpu))
                    .map(|(_, cache)| cache)
            };
            let level = members().map(|cache| cache.level).max().unwrap_or(1);
            let bytes = members()
                .filter(|cache| cache.level == level)
                .find_map(|cache| cache.bytes);
            CacheGroup { level, cpus, bytes }
        })
        .collect()
}
