// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The walk as it ships, beside a BPF_MAP_TYPE_LPM_TRIE of reversed names (the talk's way: longest prefix, then count
 * the labels). Each run takes the next name of `bench_names`, so that a table of a million names is a cold mix and a
 * table of one name is hot. `bench_null` does only what both need before.
 */
#include "../lib/walk.h"
#include "../lib/workload.h"

#define NAME_BYTES 64

struct bench_name {
	__u8 bytes[NAME_BYTES];
};

struct bench_state {
	__u32 next;
	__u32 count;
	__u64 hits;
};

struct lpm_key {
	__u32 prefixlen;
	__u8 bytes[FQDN_NAME_ROOM];
};

struct lpm_value {
	__u32 class;
	__u32 labels;
};

struct lpm_room {
	__u8 before[NAME_BYTES];
	__u8 bytes[FQDN_NAME_ROOM];
	struct lpm_key key;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_name);
	PINNED;
} bench_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_state);
	PINNED;
} bench_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lpm_room);
} bench_room SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm_key);
	__type(value, struct lpm_value);
	PINNED;
} bench_lpm SEC(".maps");

static __always_inline struct bench_state *prepare_name(struct job *job)
{
	__u32 zero = 0, at;
	struct bench_state *state = bpf_map_lookup_elem(&bench_state, &zero);
	struct bench_name *name;

	job->s = bpf_map_lookup_elem(&scratch, &zero);
	if (!state || !job->s)
		return NULL;
	at = state->next;
	state->next = at + 1 < state->count ? at + 1 : 0;
	name = bpf_map_lookup_elem(&bench_names, &at);
	if (!name)
		return NULL;
	for (int i = 0; i < NAME_BYTES / 8; i++)
		((__u64 *)job->s->name)[i] = lower8(((__u64 *)name->bytes)[i]);
	find_labels(job);
	job->s->name_len = job->s->out;
	return state;
}

SEC("classifier")
int bench_null(struct __sk_buff *skb)
{
	struct job job = {};

	return prepare_name(&job) ? 0 : 1;
}

SEC("classifier")
int bench_walk(struct __sk_buff *skb)
{
	struct job job = {};
	struct bench_state *state = prepare_name(&job);

	if (!state || !open_image(&job) || !open_tables(&job))
		return 1;
	walk_name(&job);
	state->hits += job.s->class != 0;
	return 0;
}

SEC("classifier")
int bench_lpm_lookup(struct __sk_buff *skb)
{
	struct job job = {};
	struct bench_state *state = prepare_name(&job);
	struct lpm_value *value;
	struct lpm_room *room;
	__u32 zero = 0, length;

	room = bpf_map_lookup_elem(&bench_room, &zero);
	if (!state || !room)
		return 1;
	length = job.s->name_len & (NAME_BYTES - 1);
	for (int i = 0; i < NAME_BYTES / 8; i++)
		((__u64 *)room->bytes)[i] = ((__u64 *)job.s->name)[i];
	/* Eight bytes at a time, from the end. */
	for (int i = 0; i < NAME_BYTES / 8; i++)
		((__u64 *)room->key.bytes)[i] = __builtin_bswap64(*(__u64 *)((__u8 *)room + NAME_BYTES + length - 8 - 8 * i));
	room->key.prefixlen = length * 8;
	value = bpf_map_lookup_elem(&bench_lpm, &room->key);
	/* On another length: count the labels. */
	state->hits += value && value->labels == job.s->labels;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
