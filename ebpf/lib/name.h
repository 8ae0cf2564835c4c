/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A name out of a DNS message: labels with length bytes, lower case, pointers followed. A name is a sequence
 * of labels and never a joined string: a label may hold a dot or NUL.
 */
#ifndef NAME_H
#define NAME_H

#include "scratch.h"

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL
/* A label's 63 bytes and the pointers between labels: no honest name takes more steps. */
#define NAME_STEPS 256
#define NAME_WORDS (FQDN_NAME_ROOM / 8)

/* Letters A-Z in 8 bytes at once; length bytes are below 'A' and stay. */
static __always_inline __u64 lower8(__u64 x)
{
	__u64 low7 = x & ~HIGHS;
	__u64 from_a = low7 + (0x80 - 'A') * ONES;
	__u64 after_z = low7 + (0x7f - 'Z') * ONES;

	return x | ((((from_a & ~after_z) & ~x) & HIGHS) >> 2);
}

#define WITHIN(x, lowest, highest) (((x) + (0x80 - (lowest)) * ONES) & ~((x) + (0x7f - (highest)) * ONES))

/* All 8 bytes are among [-a-z0-9_]. */
static __always_inline bool plain8(__u64 x)
{
	__u64 low7 = x & ~HIGHS;
	__u64 in = WITHIN(low7, 'a', 'z') | WITHIN(low7, '0', '9') | WITHIN(low7, '-', '-') | WITHIN(low7, '_', '_');

	return ((in & ~x) & HIGHS) == HIGHS;
}

/* The first `n` bytes of a word, n from below 0 to above 8; without a branch for the verifier to fork at. */
static __always_inline __u64 first_bytes(__s64 n)
{
	__s64 cut = 8 - (n & ~(n >> 63));

	cut &= ~(cut >> 63);
	return (~0ULL >> (4 * cut)) >> (4 * cut);
}

/*
 * Keeps clang from turning an OR of differences into a branch a word: the verifier would walk every combination
 * of them ("BPF program is too large").
 */
#define OPAQUE(x) asm volatile("" : "+r"(x))

/* What of word `k` belongs to a label of `length` bytes and its length byte: no branch for the verifier to fork at. */
static const __u64 word_masks[128] = {
#define CUT(n) ((n) >= 64 ? ~0ULL : (n) <= 56 ? 0ULL : (1ULL << (8 * (((n) - 56) & 7))) - 1)
#define CUT4(n) CUT(n), CUT((n) + 1), CUT((n) + 2), CUT((n) + 3)
#define CUT16(n) CUT4(n), CUT4((n) + 4), CUT4((n) + 8), CUT4((n) + 12)
	CUT16(0), CUT16(16), CUT16(32), CUT16(48), CUT16(64), CUT16(80), CUT16(96), CUT16(112),
};

static __always_inline __u64 word_mask(__u32 length, __u32 k)
{
	return word_masks[((length & 63) + 1 + 56 - 8 * k) & 127];
}

/* 64 bytes, whatever is needed of them. */
static __always_inline void copy64(__u8 *to, const __u8 *from)
{
	for (int i = 0; i < 8; i++)
		((__u64 *)to)[i] = ((const __u64 *)from)[i];
}

/*
 * What a packet's names may take together: their labels, pointers and words of eight octets; each name counts as NAME_PRICE more.
 * Without it one answer of 64 KB took 10 ms of a neighbour's time: 3,900 names of 126 pointers each.
 */
#define NAMES_BUDGET 12288
#define NAME_PRICE 4
/* Compression needs one; real servers chain two or three. */
#define POINTERS_MAX 16

/* One label or pointer. `at` reads, `out` writes. */
static __always_inline long name_step(struct scratch **context)
{
	struct scratch *s = *context;
	__u32 at = s->at;
	__u32 out = s->out;
	__u32 length;

	if (at >= s->ceiling || s->left.names <= 0)
		goto broken;
	s->left.names--;
	length = s->message[at & (FQDN_MESSAGE_MAX - 1)];
	if (length == 0) {
		if (!s->after)
			s->after = at + 1;
		s->read.len = out + 1;
		s->done = 1;
		return 1;
	}
	if (length >= 0xc0) {
		__u32 target = (length & 0x3f) << 8 | s->message[(at + 1) & (FQDN_MESSAGE_MAX - 1)];

		/* Strictly backward, and not into the header: no loop can be built (RFC 9267 section 2). */
		if (at + 1 >= s->ceiling || target >= s->limit || target < DNS_HEADER || ++s->pointers > POINTERS_MAX)
			goto broken;
		if (!s->after)
			s->after = at + 2;
		s->ceiling = s->limit;
		s->limit = target;
		s->at = target;
		return 0;
	}
	if (length > FQDN_LABEL_MAX || out + 1 + length > FQDN_NAME_MAX - 1 || at + 1 + length > s->ceiling)
		goto broken;
	copy64(s->read.bytes + (out & 255), s->message + (at & (FQDN_MESSAGE_MAX - 1)));
	s->label_at[s->labels & 127] = out;
	s->labels++;
	s->out = out + 1 + length;
	s->at = at + 1 + length;
	return 0;
broken:
	s->broken = 1;
	return 1;
}

static long name_steps(__u32 i, struct scratch **context)
{
	return SEVERAL(name_step, context);
}

/* Folds the letters, and clears the root's octet, which nobody has copied, and what is behind it in the last word. */
static __always_inline void settle_name(__u8 *bytes, const __u32 *length)
{
	ROLLED for (__u32 k = 0; k < NAME_WORDS; k++) {
		__u32 left = READ_ONCE(*length) - 8 * k;

		if ((__s32)left <= 0)
			break;
		((__u64 *)bytes)[k] = lower8(((__u64 *)bytes)[k]) & first_bytes((__s32)left - 1);
	}
}

/*
 * Reads the name at `at` into `read`. False = malformed. A pointer must lead before `limit`, the
 * position where this name begins.
 */
static __always_inline int take_name(struct scratch *s, __u32 at)
{
	s->at = at;
	s->limit = at;
	s->ceiling = s->length;
	s->out = 0;
	s->after = 0;
	s->labels = 0;
	s->pointers = 0;
	s->broken = 0;
	s->done = 0;
	if (s->left.names < NAME_PRICE)
		return 0;
	s->left.names -= NAME_PRICE;
	bpf_loop(NAME_STEPS / AT_ONCE, name_steps, &s, 0);
	if (s->broken || !s->done)
		return 0;
	settle_name(s->read.bytes, &s->read.len);
	s->left.names -= s->read.len / 8; /* below 0, for the next one */
	return 1;
}

APART int read_name(struct scratch *s, __u32 at)
{
	return s ? take_name(s, at) : 0;
}

/*
 * Reads a question's name, the first of its message: no pointer can stand there, because nothing is before it. False =
 * malformed. Sets `name` and its labels, and `after`.
 */
APART int read_question_name(struct scratch *s)
{
	__u32 at = DNS_HEADER, i, length;

	if (!s)
		return 0;

	ROLLED for (i = 0; i <= FQDN_LABELS_MAX; i++) {
		length = s->message[at & 511];
		if (!length)
			break;
		if (length > FQDN_LABEL_MAX || at + 1 + length > DNS_HEADER + FQDN_NAME_MAX - 1)
			return 0;
		s->label_at[i & 127] = at - DNS_HEADER;
		at = (at + 1 + length) & 511;
	}
	if (i > FQDN_LABELS_MAX || at >= s->length)
		return 0;
	s->labels = i;
	s->after = at + 1;
	s->name_len = at + 1 - DNS_HEADER;
	ROLLED for (__u32 k = 0; k < NAME_WORDS; k++) {
		__u32 left = READ_ONCE(s->name_len) - 8 * k;

		if ((__s32)left <= 0)
			break;
		((__u64 *)s->name)[k] = lower8(*(__u64 *)(s->message + DNS_HEADER + 8 * k)) & first_bytes((__s32)left);
	}
	return 1;
}

/* The label's bytes are all plain; what lies behind them is taken for an `a`. */
APART int plain_label(struct scratch *s, __u32 at, __u32 length)
{
	if (!s)
		return 0;
	at &= 255;
	for (int k = 0; k < 8; k++) {
		__u64 mask = word_mask(length, k);

		if (8 * k > length)
			break;
		if (k == 0)
			mask &= ~0xffULL;
		if (!plain8((*(__u64 *)(s->name + at + 8 * k) & mask) | ('a' * ONES & ~mask)))
			return 0;
	}
	return 1;
}

static long plain_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u32 at;

	if (i >= s->labels)
		return 1;
	at = s->label_at[i & 127];
	s->plain = plain_label(s, at, s->name[at & 255]);
	return !s->plain;
}

/* Sets `plain` for the question's name. */
static __always_inline void read_plain(struct job *job)
{
	job->s->plain = 1;
	bpf_loop(FQDN_LABELS_MAX, plain_step, job, 0);
}

static long offset_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u32 at = s->out;
	__u32 length = s->name[at & 255];

	if (length == 0 || length > FQDN_LABEL_MAX || at > FQDN_NAME_MAX)
		return 1;
	s->label_at[i & 127] = at;
	s->labels = i + 1;
	s->out = at + 1 + length;
	return 0;
}

/* Finds the labels of a name that was put into the question from elsewhere. */
static __always_inline void find_labels(struct job *job)
{
	job->s->labels = 0;
	job->s->out = 0;
	bpf_loop(128, offset_step, job, 0);
}

/* Two names of one length. Its last word is zero-padded in both. */
static __always_inline int same_name(const __u8 *a, const __u8 *b, const __u32 *length)
{
	__u64 differ = 0;

	ROLLED for (__u32 k = 0; k < NAME_WORDS; k++) {
		if (8 * k >= READ_ONCE(*length))
			break;
		differ |= ((const __u64 *)a)[k] ^ ((const __u64 *)b)[k];
		OPAQUE(differ);
	}
	return differ == 0;
}

#define SIPROUND(v0, v1, v2, v3)                                                                      \
	do {                                                                                          \
		v0 += v1; v1 = v1 << 13 | v1 >> 51; v1 ^= v0; v0 = v0 << 32 | v0 >> 32;               \
		v2 += v3; v3 = v3 << 16 | v3 >> 48; v3 ^= v2;                                         \
		v0 += v3; v3 = v3 << 21 | v3 >> 43; v3 ^= v0;                                         \
		v2 += v1; v1 = v1 << 17 | v1 >> 47; v1 ^= v2; v2 = v2 << 32 | v2 >> 32;               \
	} while (0)

/*
 * SipHash-1-3 (Aumasson and Bernstein 2012) over a workload and a name, zero-padded to a word, with the node's key; never 0.
 * What a workload keeps goes with it, so no two of them share a name.
 */
static __always_inline __u64 hash_name(const __u8 *bytes, const __u32 *len, const __u64 *secret, __u64 owner)
{
	__u64 v0 = secret[0] ^ 0x736f6d6570736575ULL;
	__u64 v1 = secret[1] ^ 0x646f72616e646f6dULL;
	__u64 v2 = secret[0] ^ 0x6c7967656e657261ULL;
	__u64 v3 = secret[1] ^ 0x7465646279746573ULL ^ owner;

	SIPROUND(v0, v1, v2, v3);
	v0 ^= owner;
	ROLLED for (__u32 k = 0; k < NAME_WORDS; k++) {
		__u64 word;

		if (8 * k >= READ_ONCE(*len))
			break;
		word = ((const __u64 *)bytes)[k];
		v3 ^= word;
		SIPROUND(v0, v1, v2, v3);
		v0 ^= word;
	}
	v2 ^= 0xff;
	SIPROUND(v0, v1, v2, v3);
	SIPROUND(v0, v1, v2, v3);
	SIPROUND(v0, v1, v2, v3);
	return (v0 ^ v1 ^ v2 ^ v3) | 1;
}

#endif
