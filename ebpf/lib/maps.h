/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The pinned maps. Sizes are defaults; the loader may set others when it loads the programs. */
#ifndef MAPS_H
#define MAPS_H

#include "vmlinux.h"
#include "vendor/bpf_helpers.h"
#include "vendor/bpf_endian.h"
#include "fqdn_abi.h"

/*
 * A function that the kernel verifies once, by itself, and not again for each of its callers: egress takes 240,000 of
 * the 250,000 instructions that the newest kernel may spend without them. It is handed plain memory, which may be none, and
 * never what lies in an image (the verifier forgets what a pointer inside a struct points to).
 */
#define APART __attribute__((noinline))

/* A block of the image as 64-bit words. */
struct block {
	__u64 word[FQDN_BLOCK / 8];
};

#define SECOND 1000000000ULL
#define MINUTE (60 * SECOND)

#define PINNED __uint(pinning, LIBBPF_PIN_BY_NAME)

#define barrier() asm volatile("" ::: "memory")
#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fqdn_node);
	PINNED;
} node SEC(".maps");

/*
 * Sizes and no types: 6.1 takes only inner maps that have BTF exactly if this template has it
 * (bpf_map_meta_equal compares timer_off), and the loader makes them without.
 */
struct image_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(key_size, 4);
	__uint(value_size, FQDN_BLOCK);
};

/* 0 = active, 1 = previous. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	PINNED;
	__array(values, struct image_map);
} image SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct fqdn_workload);
	PINNED;
} workloads SEC(".maps");

/* Added by the loader alone; the programs write what they remember in place. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fqdn_binding_key);
	__type(value, struct fqdn_binding);
	PINNED;
} bindings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fqdn_resolver_key);
	__type(value, struct fqdn_resolver_value);
	PINNED;
} resolvers SEC(".maps");

/* This host's own addresses, as the last `apply` found them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(key_size, 16); /* union address */
	__uint(value_size, 4);
	PINNED;
} locals SEC(".maps");

/*
 * INVARIANT (bypass row 18): no workload takes another's room. `pending` has pages for each, and a question that finds
 * its places taken displaces an older one of its own; `learned`, `names` and `streams` have a share each in `usage`.
 * The places of `recent` are everybody's, and to find them taken costs time alone.
 * Memory is taken beforehand: to take it packet by packet costs tens of microseconds in a virtual machine.
 */
/* The loader makes a workload's pages when it binds it. They are written in place, each question under its `busy`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096 * FQDN_PENDING_PAGES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fqdn_pending_key);
	__type(value, struct fqdn_pending_page);
	PINNED;
} pending SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FQDN_LEARNED_MOST);
	__type(key, struct fqdn_learned_key);
	__type(value, struct fqdn_learned);
	PINNED;
} learned SEC(".maps");

/* By workload; the loader makes it at `bind`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct fqdn_owned);
	PINNED;
} owned SEC(".maps");

/* How many elements of `learned` are taken of what is common; how many items wait in `sweep`; how many of `names`; the sweep is to hurry, for items or names of some workload. */
#define POOL_COMMON 0
#define POOL_QUEUED 1
#define POOL_NAMES 2
#define POOL_CROWDED 3
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
	PINNED;
} pool SEC(".maps");

/* In front of `learned`: lib/recent.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FQDN_RECENT);
	__type(key, __u32);
	__type(value, struct fqdn_recent);
	PINNED;
} recent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FQDN_LEARNED_MOST);
	__type(key, __u64);
	__type(value, struct fqdn_name);
	PINNED;
} names SEC(".maps");

/* By workload. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct fqdn_usage);
	PINNED;
} usage SEC(".maps");

/* The name by which a TCP connection was allowed: it outlives the address's time, and the next policy judges it. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __s32);
	__type(value, struct fqdn_name);
	PINNED;
} socket_names SEC(".maps");

/* TCP connections to DNS ports: what is sent on them passes the program that is attached to this map. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__uint(value_size, 8);
	PINNED;
} streams SEC(".maps");

/* Twice the longest message: 6.1 wants room for the longest part behind the last place where one may begin. */
struct partial {
	__u8 bytes[2 * FQDN_MESSAGE_MAX];
};

/* Messages over TCP of which a part has come. Big and rare: memory is taken as it is needed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fqdn_partial_key);
	__type(value, struct partial);
	PINNED;
} partials SEC(".maps");

/* What `partials` begins with. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct partial);
} no_partial SEC(".maps");

/* By the same cookie: no helper tells a program of `streams` the socket's cgroup. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct fqdn_stream);
	PINNED;
} stream_owners SEC(".maps");

/* Devices whose egress has our program, and their kind: only there may a refused query pass to be answered. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fqdn_device_key);
	__type(value, struct fqdn_device);
	PINNED;
} devices SEC(".maps");

/* Devices that a workload's refused query was sent to and that have no program of ours: how many of them. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct fqdn_device_key);
	__type(value, __u64);
	PINNED;
} uncovered SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __s32);
	__type(value, struct fqdn_sock);
	PINNED;
} sockets SEC(".maps");

/*
 * The peers to which a workload spoke first. The loader makes it at `bind`: nobody can crowd out what another said, and a
 * workload that speaks to very many peers only loses its way to answer others.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct fqdn_spoken);
	PINNED;
} spoken SEC(".maps");

/* The peers that spoke to it first, and may be answered over UDP. The loader makes it at `bind`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct fqdn_peers);
	PINNED;
} peers SEC(".maps");

/* Holds an item for each entry of `learned` and `names`. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 262144);
	__type(value, struct fqdn_sweep_item);
	PINNED;
} sweep SEC(".maps");

/* How many workloads have ended so far: the sweep hurries once round for them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	PINNED;
} gone SEC(".maps");

struct clock {
	struct bpf_timer timer;
	__u32 settles;   /* turned over before each run: it settles, if there is anything, instead of sweeping */
	__u32 unsettled; /* a place of `recent` is taken */
	__u32 place;     /* of `recent`, where the next run begins */
	__u32 hurries;   /* until the mark that was put into the queue comes round */
	__u64 popped;    /* items that left the queue since the last run, less those that came back */
	__u64 gone;      /* of the workloads that have ended, those that it hurries for, or has */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct clock);
	PINNED;
} clock SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FQDN_COUNTS);
	__type(key, __u32);
	__type(value, __u64);
	PINNED;
} stats SEC(".maps");

static __always_inline void count(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&stats, &reason);

	if (n)
		*n += 1;
}

/* A share of a workload: `room` is its field in `usage`. 0 = it has its fill. */
static __always_inline int take_share(__u64 *room, __u64 most)
{
	if (!room)
		return 0;
	/* Signed: what an earlier binding of the cgroup left is given back to the new one. */
	if ((__s64)__sync_fetch_and_add(room, 1) < (__s64)most)
		return 1;
	__sync_fetch_and_add(room, -1);
	return 0;
}

static __always_inline void give_share(__u64 *room)
{
	if (room)
		__sync_fetch_and_add(room, -1);
}

/* Not on the stack, of which 6.1 has 512 octets for all calls together. */
static const struct fqdn_usage no_usage;

static __always_inline struct fqdn_usage *usage_of_workload(__u64 cgroup)
{
	struct fqdn_usage *usage_now = bpf_map_lookup_elem(&usage, &cgroup);

	if (usage_now)
		return usage_now;
	bpf_map_update_elem(&usage, &cgroup, &no_usage, BPF_NOEXIST);
	return bpf_map_lookup_elem(&usage, &cgroup);
}

static __always_inline struct fqdn_node *the_node(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&node, &zero);
}

/*
 * CLOCK_BOOTTIME in nanoseconds, as of the last tick: the exact clocks take a packet longer than a map does. The ticking
 * clock there is stands still in suspend; what it misses, the sweep writes down.
 */
static __always_inline __u64 present_time(void)
{
	struct fqdn_node *node = the_node();

	return bpf_ktime_get_coarse_ns() + (node ? node->suspended : 0);
}

#endif
