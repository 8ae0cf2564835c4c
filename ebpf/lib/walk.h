/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The name automaton: from the top-level label leftwards, one edge a label. image/src/walk.rs takes the same
 * steps; the numbers below stand there too.
 *
 * INVARIANT: the hash only picks the buckets. A match compares the parent state and every byte of the label.
 */
#ifndef WALK_H
#define WALK_H

#include "name.h"

static __always_inline __u64 mix(__u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static __always_inline __u64 reseed(const struct fqdn_image_walk *walk, __u32 state)
{
	return mix(walk->seed ^ state * 0x9e3779b97f4a7c15ULL);
}

/* Masks of the three words of a label with its length byte. */
static const __u64 label_mask[21][3] = {
#define LOW(n) ((n) >= 8 ? ~0ULL : (n) <= 0 ? 0ULL : (1ULL << (8 * ((n) & 7))) - 1)
#define ROW(n) { LOW(n), LOW((n) - 8), LOW((n) - 16) & 0xffffffffULL }
	ROW(0), ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7), ROW(8), ROW(9), ROW(10), ROW(11),
	ROW(12), ROW(13), ROW(14), ROW(15), ROW(16), ROW(17), ROW(18), ROW(19), ROW(20),
};

/* A label over LABEL_INLINE: its first word, and a hash of the others. */
static __noinline int long_words(struct scratch *s, __u32 at, __u32 length, __u64 key)
{
	__u64 hash = key;

	at &= 255;
	for (int i = 1; i < 8; i++)
		hash = mix(hash ^ (*(__u64 *)(s->name + at + 8 * i) & word_mask(length, i)));
	s->word0 = *(__u64 *)(s->name + at);
	s->word1 = hash;
	s->word2 = 0;
	s->long_at = at;
	return 0;
}

/* The label at `long_at` is this one of the image's. */
APART int same_long_label(const struct scratch *s, const struct block *label)
{
	__u64 differ = 0;
	__u32 at, length;

	if (!s || !label)
		return 0;
	at = s->long_at & 255;
	length = s->name[at];
	for (int i = 0; i < 8; i++) {
		differ |= label->word[i] ^ (*(__u64 *)(s->name + at + 8 * i) & word_mask(length, i));
		OPAQUE(differ);
	}
	return differ == 0;
}

/* 1 = the state has an edge for the words at hand: `edge_class`, `edge_next`. */
static __noinline int find_edge(struct job *job)
{
	struct scratch *s = job->s;
	const struct fqdn_image_walk *walk = job->walk;
	__u64 word0 = s->word0, word1 = s->word1;
	__u64 product = word1 * walk->k[1];
	__u64 hash = mix(s->seed ^ word0 * walk->k[0] ^ (product << 32 | product >> 32) ^ s->word2 * walk->k[2]);
	__u32 half = hash;

	s->hash = hash;
	for (int i = 0; i < 2; i++) {
		struct block *block = image_block(job, walk->trie + (__u32)(((__u64)half * walk->buckets) >> 32));
		struct fqdn_edge *edge = (struct fqdn_edge *)block;

		if (!block)
			return 0;
		for (int k = 0; k < 2; k++, edge++) {
			if (edge->word0 != word0 || edge->word1 != word1 || edge->parent != s->state)
				continue;
			if (s->long_at == 0xffff ? edge->word2 != s->word2 : !same_long_label(s, image_block(job, walk->labels + edge->word2)))
				continue;
			s->edge_class = edge->class;
			s->edge_next = edge->next;
			return 1;
		}
		half = hash >> 32;
	}
	return 0;
}

/* a-z 0-25, 0-9 26-35, '-' 36, '_' 37: the symbols of a glob; the label is known to be plain. */
static __always_inline __u32 symbol(__u8 byte)
{
	return byte == '_' ? 37 : byte >= 'a' ? byte - 'a' : byte == '-' ? 36 : byte - '0' + 26;
}

static __always_inline __u32 bits(__u64 x)
{
	x -= (x >> 1) & 0x5555555555555555ULL;
	x = (x & 0x3333333333333333ULL) + ((x >> 2) & 0x3333333333333333ULL);
	return (((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL) * ONES) >> 56;
}

static __always_inline __u64 glob_word(struct job *job, __u32 at)
{
	struct block *block = image_block(job, job->walk->globs + at / 8);

	return block ? block->word[at & 7] : 0;
}

static long glob_step(__u32 i, struct job *job)
{
	struct scratch *s = job->s;
	__u64 bit, step = 0;

	if (i >= s->glob_left)
		return 1;
	bit = 1ULL << (symbol(s->name[(s->out + i) & 255]) & 63);
	if (s->glob_present & bit)
		step = glob_word(job, s->glob_at + 4 + bits(s->glob_present & (bit - 1)));
	s->glob_on = ((s->glob_on & step) << 1) | (s->glob_on & s->glob_keep);
	return 0;
}

/* Which globs of the state match the label at `at`: all of them at once, a bit for each position. */
static __always_inline __u64 glob_mask(struct job *job, __u32 globs, __u32 at, __u32 length)
{
	struct scratch *s = job->s;

	s->glob_at = globs;
	s->glob_left = length;
	s->out = at + 1;
	s->glob_on = glob_word(job, globs);
	s->glob_keep = glob_word(job, globs + 1);
	s->glob_present = glob_word(job, globs + 3);
	bpf_loop(FQDN_LABEL_MAX, glob_step, job, 0);
	return s->glob_on & glob_word(job, globs + 2);
}

/* 1 = a wildcard of the state takes the label: `edge_class`, `edge_next`. */
static __noinline int take_wildcard(struct job *job, __u32 at, __u32 length)
{
	struct scratch *s = job->s;
	struct fqdn_state *state;
	__u32 index = s->state - 1;

	if (s->state > job->walk->states || !plain_label(s, at, length))
		return 0;
	state = RECORD(job, job->walk->depth, index, struct fqdn_state);
	if (!state)
		return 0;
	s->edge_class = state->class;
	s->edge_next = state->next | FQDN_NEXT_RESEED;
	if (state->globs) {
		__u32 star = state->star;
		__u64 mask = glob_mask(job, state->globs - 1, at, length);

		if (mask) {
			s->word0 = FQDN_GLOB_LABEL | mask << 8;
			s->word1 = mask >> 56;
			s->word2 = 0;
			s->long_at = 0xffff;
			return find_edge(job);
		}
		return star;
	}
	return state->star;
}

static __always_inline void enter_layer(struct job *job)
{
	struct scratch *s = job->s;

	s->state = s->layer + 1; /* the roots are the first states */
	s->seed = reseed(job->walk, s->state);
	s->bare = 0;
	s->class = 0;
	s->walked = 0;
}

/* One label, or the end of a layer. A name that runs past a leaf has no class. */
static __always_inline long walk_step(struct job *job)
{
	struct scratch *s = job->s;
	__u32 at, length, state;
	__u64 hash;

	if (s->walked >= s->labels || s->state == 0) {
		s->classes[s->layer & (FQDN_LAYERS_MAX - 1)] = s->walked >= s->labels ? s->class : 0;
		s->layer++;
		if (s->layer >= job->rows->layers)
			return 1;
		enter_layer(job);
		return 0;
	}
	at = s->label_at[(s->labels - 1 - s->walked) & 127] & 255;
	length = s->name[at];
	if (length > FQDN_LABEL_INLINE) {
		long_words(s, at, length, job->walk->k[2]);
		s->word0 = *(__u64 *)(s->name + at);
	} else {
		const __u64 *mask = label_mask[length + 1];

		s->word0 = *(__u64 *)(s->name + at) & mask[0];
		s->word1 = *(__u64 *)(s->name + at + 8) & mask[1];
		s->word2 = *(__u32 *)(s->name + at + 16) & mask[2];
		s->long_at = 0xffff;
	}
	if (s->bare || !find_edge(job)) {
		if (!take_wildcard(job, at, length)) {
			s->class = 0;
			s->state = 0;
			return 0;
		}
	}
	hash = s->hash;
	state = s->edge_next & FQDN_NEXT_STATE;
	s->bare = s->edge_next & FQDN_NEXT_BARE;
	s->seed = s->edge_next & FQDN_NEXT_RESEED ? reseed(job->walk, state) : hash;
	s->class = s->edge_class;
	s->state = state;
	s->walked++;
	return 0;
}

static long walk_steps(__u32 i, struct job *job)
{
	return SEVERAL(walk_step, job);
}

/* Classes of the question's name, whose labels have been found: `classes`, and `class` of the first layer. */
static __always_inline void walk_name(struct job *job)
{
	struct scratch *s = job->s;

	s->layer = 0;
	__builtin_memset(s->classes, 0, sizeof(s->classes));
	enter_layer(job);
	bpf_loop((FQDN_LABELS_MAX + 1) * FQDN_LAYERS_MAX / AT_ONCE, walk_steps, job, 0);
	s->class = s->classes[0];
}

#endif
