/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Working buffers. A cgroup hook may be preempted on its CPU, so a buffer of the CPU is not ours by being
 * here: each CPU has several, taken by compare-and-exchange. None free = denied (I1), counted.
 *
 * Loop state lies in the buffer and not in registers: the verifier knows nothing of a map value's content, so
 * that all rounds of a loop look alike to it.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include "packet.h"

#define SCRATCH_PER_CPU 4
/* A label is copied as 64 bytes whatever its length; what runs over is overwritten or cleared. */
#define OVERRUN 64
/* RFC 1035 section 4.1.1 */
#define DNS_HEADER 12

/* struct fqdn_learned without its lock, which may stand only in the map that it guards. */
struct learned_copy {
	__u64 no_lock;
	__u64 cgroup;
	__u8 addr[16];
	struct fqdn_learned_name names[FQDN_LEARNED_NAMES];
	__u64 netns;
	__u64 carried;
	__u32 carried_len;
	__u16 share, slot;
	__u8 carried_bytes[FQDN_CARRIED_MAX];
	__u64 used, until, first, born;
};
_Static_assert(sizeof(struct learned_copy) == sizeof(struct fqdn_learned), "size");

/* Most links of a chain that is not in order, and most of them that are out of order. */
#define LINKS_MAX 64
#define ASTRAY_MAX 16
/* Most records of its answer section, which is read twice more: 60 us. */
#define CHAIN_RECORDS_MAX 1024
/* Names of a chain that are credited beside the question (`cnames: chain`). */
#define CREDITED_MAX 16

struct scratch {
	__u64 busy;

	/* the name at hand: on the wire, lower case, zero-padded to a word; where its labels begin */
	__u8 name[FQDN_NAME_ROOM];
	__u8 overrun[OVERRUN];
	__u8 label_at[128];
	__u32 name_len;
	__u32 labels;
	__u32 plain; /* every byte is one that a pattern may hold */
	__u32 qtype;
	__u32 spilled, spot; /* what to look for in all pages; where it is, from 1 on */
	__u32 busy_socket; /* it asked more at once than its own page is for: see `pending_page` */
	__u32 other;       /* the message is of another opcode than QUERY */
	__u32 mute;        /* the question passes in audit mode alone */
	struct fqdn_question asked; /* which answer the question waits for, or the message may be */

	/* the walk */
	__u64 seed;
	__u64 hash;
	__u64 word0, word1;
	__u32 word2;
	__u32 long_at; /* offset of a label over LABEL_INLINE, else 0xffff */
	__u32 state;
	__u32 bare;        /* it has no edges for labels */
	__u32 class;
	__u32 edge_class, edge_next;
	__u32 layer, walked;
	__u32 classes[FQDN_LAYERS_MAX]; /* one from each layer */
	__u32 glob_at, glob_left;
	__u64 glob_on, glob_keep, glob_present;

	/* the judgement: input */
	__u64 generation;
	__u64 cgroup;
	__u64 netns;
	__u64 now;
	struct flow flow;
	union address server; /* as the packet shows it */
	__u32 judged[FQDN_LAYERS_MAX], judged_n; /* classes */
	__u32 with_any, with_star, with_server;
	__u32 has_star;    /* the image has a bare star */
	__u32 usage;       /* may it be reached, may it be asked, is it denied */
	__u32 local;       /* the address is one of this host's */
	__u32 any_port;
	__u32 entries;     /* resolver entries that the server belongs to */
	__u32 server_class;
	/* loop state */
	__u32 turn, judged_at, members_first, members_left;
	__u32 selector, grant, grant_end, subject_at, subject;
	__u32 low, high, wanted;
	__u64 address[2];  /* looked for, host order */
	__u32 found;
	__u32 restated;    /* learned names whose class was found anew, a bit each */
	/* of egress; here, because the verifier follows what it knows of a variable through all that comes behind */
	__u32 raw, poses, translated;
	__u64 asked_word;  /* what decides about the question */
	__u32 epoch;       /* in which its server was looked up */
	/* result */
	__u32 allowed;
	__u32 reached;
	struct fqdn_learned_name names[2 * FQDN_LEARNED_NAMES]; /* of the address; one more than `learned` holds, the lately learned one */
	__u32 names_n;      /* of `learned` */
	__u64 reached_name; /* key in `names` of the name that did it */
	__u32 by_address;  /* of the server that was asked, and not by its being a resolver */
	__u64 expiry;
	__u64 held; /* minutes from its answer to then */

	/* a segment of a connection to a DNS port */
	struct fqdn_half half; /* taken over by the stream when the segment passes */
	__u32 segment_at, segment_end; /* in the packet */
	__u32 why;                     /* for which a question of it is refused */

	/* a send on such a connection */
	struct {
		__u32 size;
		__u32 at;     /* judged up to here, and fine */
		__u32 wanted; /* the message at `at` ends here; 0 = it is all there */
		__u32 why;    /* why the message at `at` is refused */
		__u32 length; /* of the message at `at` */
	} send;

	/*
	 * What is left of what one packet may cost, however many messages it holds: steps to read names, addresses (times names) to
	 * learn, draws in vain for one that gives way, questions to look for in every page.
	 */
	struct {
#define VAIN_MOST 64
#define SEARCHED_MOST 64
		__s32 names;
		__u32 learned, vain, searched;
	} left;

	/* a DNS message */
	__u32 length;
	__u32 at;          /* reading position */
	__u32 limit;       /* a pointer must lead before this */
	__u32 ceiling;     /* what it leads to must end before this */
	__u32 after;       /* position after the name just read */
	__u32 out;
	__u32 pointers; /* of the name at hand */
	__u32 broken;
	__u32 done;
	__u32 records, answers, record;
	__u32 owner_at;    /* where the chain's present name stands in the message */
	__u32 chain_at;    /* whose name `chain` is; 0 = nobody's */
	__u32 owner_word, owner_ours; /* a pointer that an owner was, and whether that is the chain's present name; 0 = none yet */
	__u32 min_ttl;
	__u32 got;
	__u32 more;        /* addresses that there was no room for */
	__u32 cnames;      /* links of the chain so far, in order */
	__u32 astray;      /* links that are not the next one */
	__u32 others;      /* addresses of other names */
	__u32 tangled;     /* the chain is to be read by its names: lib/chain.h */
	__u64 met;         /* names of the chain so far, a bit each by a hash */
	/* a chain that is not in order; names by their hashes */
	__u64 secret[2];   /* of the hash */
	__u64 chain_name;
	__u32 hashed_word; /* the first two octets of the name that `hash` is of */
	__u32 links_n, link_at, link_found;
	struct link {
		__u64 owner, target;
		__u32 ttl, used, at; /* `at` = where the target's name stands */
	} links[LINKS_MAX];
	/* the chain's names, to which the addresses are credited as well, one after the other */
	__u32 credited_at[CREDITED_MAX];
	__u32 credited_n, credit, learning;
	__u32 longest;     /* seconds for which one of the addresses holds */
	__u32 options;
	struct {
		__u32 shortest, longest, grace; /* seconds, as the image says */
	} clamp;
	__u64 name_key;
	__u32 granted;     /* a rule lets the workload reach what has the name */
	__u64 dice;        /* what gives way is drawn */
	__u32 drawn;       /* 1 + where it is written down */
	__s64 age;         /* how long ago it was used, as its mark says */
	__u64 was;         /* that mark */
	__u32 rests;       /* of those that were looked at and are in no use, the one that was used longest ago, as `drawn` */
	__u64 since;       /* its mark, renewed */
	__u32 slot;        /* 1 + where it was written down, for what comes in its place */
	__u32 taken;       /* where the address of `fresh` is written down */
	__u32 tried;       /* to learn the address before it was looked for */
	__u64 holds_from;  /* seconds of answers count from here */
	enum { NAME_NOT_LOOKED_FOR, NAME_KEPT, NAME_FINDS_NO_ROOM } name_kept; /* the question's, in `names` */
	struct fqdn_name read;  /* the name just read */
	__u8 overrun2[OVERRUN];
	struct fqdn_name chain; /* the name that the chain of CNAMEs has come to */
	__u32 address_at[FQDN_ADDRESSES_MAX];
	__u32 address_ttl[FQDN_ADDRESSES_MAX];
	struct learned_copy learned;
	struct fqdn_learned_key learned_key;
	struct fqdn_learned_name fresh;
	__u32 settled, unsettled; /* of the places in this run of the timer */
	__u32 place_at;
	__u8 message[FQDN_MESSAGE_MAX];
	__u8 overrun3[512];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_PER_CPU); /* times the CPUs, set by the loader */
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *take_scratch(void)
{
	__u32 first = bpf_get_smp_processor_id() * SCRATCH_PER_CPU;

	for (__u32 i = 0; i < SCRATCH_PER_CPU; i++) {
		__u32 key = first + i;
		struct scratch *s = bpf_map_lookup_elem(&scratch, &key);

		if (s && __sync_val_compare_and_swap(&s->busy, 0, 1) == 0)
			return s;
	}
	return NULL;
}

static __always_inline void give_back(struct scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

/* What the loops carry. Pointers live here, on the stack, where the verifier follows them into callbacks. */
struct job {
	void *image;
	struct scratch *s;
	const struct fqdn_image_head *head;
	const struct fqdn_image_walk *walk;
	const struct fqdn_image_rows *rows;
	struct fqdn_binding *binding;
	struct fqdn_pending *question; /* of the answer at hand; ours while its `busy` is */
	struct __sk_buff *skb;
};

/* Left as a loop: a packet finds the code of its programs out of the CPU's nearest cache, and less of it is there sooner. */
#define ROLLED _Pragma("clang loop unroll(disable)")
/* A loop's steps in one call of its callback: to call a program's function takes as long as the work of a step. */
#define AT_ONCE 4
#define SEVERAL(step, job)                                     \
	({                                                     \
		long _over = 0;                                \
		ROLLED for (int _k = 0; _k < AT_ONCE && !_over; _k++) \
			_over = step(job);                     \
		_over;                                         \
	})

static __always_inline struct block *image_block(struct job *job, __u32 index)
{
	return bpf_map_lookup_elem(job->image, &index);
}

/* Record `index` of a table of records of `size` bytes, a power of two up to 64. */
#define RECORD(job, base, index, type)                                                      \
	({                                                                                  \
		__u32 _index = (index);                                                     \
		struct block *_block = image_block(job, (base) + _index / (64 / sizeof(type))); \
		_block ? (type *)_block + _index % (64 / sizeof(type)) : NULL;              \
	})

#endif
