// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* The parser of lib/ in the kernel, on the bytes of a test run: what it makes of them stands in `parse_result`. */
#include "lib/parsed.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct parsed);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} parse_result SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fqdn_pending);
} parse_question SEC(".maps");

/* A packet: 14 bytes of Ethernet, one that says what it is, the message. */
#define BEFORE 15

SEC("classifier")
int parse_message(struct __sk_buff *skb)
{
	struct job job = { .skb = skb };
	__u32 zero = 0, length = skb->len - BEFORE;
	struct parsed *out = bpf_map_lookup_elem(&parse_result, &zero);
	struct fqdn_pending *question = bpf_map_lookup_elem(&parse_question, &zero);
	__u8 kind;

	if (!out || !question || skb->len < BEFORE || bpf_skb_load_bytes(skb, BEFORE - 1, &kind, 1))
		return 0;
	__builtin_memset(out, 0, sizeof(*out));
	out->why = FQDN_COUNT_ANSWER_TOO_LONG;
	job.s = take_scratch();
	if (!job.s)
		return 0;
	OPAQUE(length);
	length &= FQDN_MESSAGE_MAX - 1;
	OPAQUE(length);
	if (length >= DNS_HEADER) {
		job.s->length = length;
		if (bpf_skb_load_bytes(skb, BEFORE, job.s->message, length) == 0) {
			out->why = 0;
			if (kind & 1)
				parse_as_query(&job, out);
			else
				parse_as_answer(&job, question, out);
		}
	}
	give_back(job.s);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
