/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Generated from image/src/abi.rs; `BLESS=1 cargo test -p fqdn-image` writes it anew. */
#ifndef FQDN_ABI_H
#define FQDN_ABI_H

#define FQDN_ABI 0x8833cb9113475ef3ULL

#define FQDN_MAGIC 0x31474d494e445146ULL /* First bytes of an image: "FQDNIMG1" read as a little-endian integer. */
#define FQDN_VERSION 1U /* Version of the image format. */
#define FQDN_BLOCK 64U /* Bytes of a block, one cache line: the value size of an image's array map. */
#define FQDN_HEAD_BLOCKS 5U /* Blocks before the first section. */
#define FQDN_NAME_MAX 255U /* Longest name on the wire, root label included (RFC 1035 section 3.1). */
#define FQDN_NAME_ROOM 256U /* Room for a name and for the 8-byte steps that run over its end. */
#define FQDN_LABEL_MAX 63U /* Longest label (RFC 1035 section 3.1). */
#define FQDN_LABELS_MAX 127U /* Most labels in a name of 255 octets. */
#define FQDN_LABEL_INLINE 19U /* Longest label kept inside an edge; a longer one lies in the label blocks. */
#define FQDN_GLOB_LABEL 255U /* First byte of the pseudo-label that stands for "this set of globs matched"; no wire label has it. */
#define FQDN_NEXT_RESEED 0x80000000U /* In `next`: the state's edges hash from the state's id, not from the path that led here. */
#define FQDN_NEXT_BARE 0x40000000U /* In `next`: no label has an edge of its own at that state, only its wildcards count. */
#define FQDN_NEXT_STATE 0x3fffffffU /* In `next`: the state. */
#define FQDN_IMAGE_STAR 1U /* Image flag: some selector is the bare `*`. */
#define FQDN_IMAGE_CHAIN 2U /* Image flag: every name on a CNAME chain is credited, not only the question. */
#define FQDN_IMAGE_DENY 4U /* Image flag: some grant denies. */
#define FQDN_IMAGE_UPDATES 8U /* Image flag: messages of another opcode than QUERY may go to resolvers too. */
#define FQDN_IMAGE_REFUSE_SHIFT 8U /* Image flags: how a query is refused, 0 = no answer, 1 = NXDOMAIN, 2 = NODATA, 3 = REFUSED. */
#define FQDN_LAYERS_MAX 4U /* Most layers of the automaton. */
#define FQDN_KIND_NAMES 0U /* Kind of a selector: names. */
#define FQDN_KIND_ADDRESSES 1U /* Kind of a selector: addresses. */
#define FQDN_KIND_ELSEWHERE 2U /* Kind of a selector: addresses, but for this host's own. */
#define FQDN_KIND_HERE 3U /* Kind of a selector: addresses, but only this host's own. */
#define FQDN_SELECTOR_ANY 1U /* Selector of rules without names: any name that may be asked. */
#define FQDN_SELECTOR_STAR 2U /* Selector `*`: any name made of the letters that a pattern may hold. */
#define FQDN_SELECTOR_NEVER 3U /* Selector of addresses that no answer may teach. */
#define FQDN_SELECTOR_SERVER 4U /* Selector whose grants say which servers may be asked anything at all: every other grant to ask, without its name. */
#define FQDN_SUBJECT_ALL 0U /* Subject that every bound workload has. */
#define FQDN_SUBJECT_DEFAULT_DENY 1U /* Subject flag: some policy of it asks for default deny. */
#define FQDN_SUBJECT_DENIES 2U /* Subject flag: some grant of it denies. */
#define FQDN_PORTS_ANY 0U /* Port set of rules without ports: every protocol and port. */
#define FQDN_SERVERS_CIDR 0x80000000U /* In `servers` of a grant: the rest is the selector of the server's address. */
#define FQDN_SERVERS_DENY 0x40000000U /* In `servers` of a grant, alone: these addresses are denied. */
#define FQDN_RESOLVER_ENTRIES 24U /* Most resolver entries; the rest of `servers` is a bit for each. */
#define FQDN_DNS_PORTS 8U /* Most DNS ports of an image. */
#define FQDN_SUBJECTS_MAX 64U /* Most subjects of a workload. */
#define FQDN_CLASS_MAX 1024U /* Most selectors of a class, and of a class and a subject's grants together. */
#define FQDN_BINDING_ENFORCED 1U /* Binding flag: a subject of it asks for default deny. */
#define FQDN_BINDING_DENIES 2U /* Binding flag: a subject of it denies something. */
#define FQDN_MODE_ENFORCE 0U /* Mode of a workload: refused packets are dropped. */
#define FQDN_MODE_AUDIT 1U /* Mode of a workload: refused packets are counted and passed. */
#define FQDN_MODE_GONE 2U /* Mode of a workload: its cgroup was removed. What is left of it is denied. */
#define FQDN_WORKLOAD_SERVES 1U /* Workload flag: it is a resolver itself, and may answer as one. */
#define FQDN_WORKLOAD_PACKETS 2U /* Workload flag: it was bound although packet sockets were open, which lead round the policy. */
#define FQDN_LEARNED_NAMES 8U /* Names remembered for an address of a workload. */
#define FQDN_CGROUP_DEPTH 16U /* Deepest cgroup that can be bound, counted from the cgroup2 root. */
#define FQDN_MESSAGE_MAX 0x10000U /* Longest DNS message, over TCP by its 16-bit length (RFC 1035 section 4.2.2). */
#define FQDN_QUERY_MAX 4400U /* Longest query that is read: header, name, type, class and 4,096 bytes of OPT. */
#define FQDN_RECORDS_MAX 4096U /* Most records of an answer that are read; more teach nothing. */
#define FQDN_ADDRESSES_MAX 512U /* Most addresses of an answer that are learned, the first ones. */
#define FQDN_PENDING_PAGES 32U /* Pages of a workload's questions that wait for their answers. */
#define FQDN_CARRIED_MAX 96U /* Octets of a name that may stand with the address that it led to. */
#define FQDN_PENDING_SLOTS 8U /* Questions of a page; where they are taken, the next one takes the place of an older one of its own workload. */
#define FQDN_PENDING_WAYS 4U /* Places of a page among which a question chooses. */
#define FQDN_LEARNED_QUOTA 4096U /* Most addresses learned for one workload at a time. */
#define FQDN_LEARNED_MOST 0x10000U /* Elements of `learned`. */
#define FQDN_RESERVED 256U /* Most of them that a workload has for itself: half of all, divided by the number of workloads. */
#define FQDN_SLOTS 4352U /* Places where a workload's addresses are written down: one for each that it may have, or may have without a rule. */
#define FQDN_RESERVED_LEAST 16U /* A workload that would have fewer for itself is not bound. */
#define FQDN_IDLE_QUOTA 256U /* Most addresses learned for one workload that no rule lets it reach. */
#define FQDN_OWNED_NAMES 4096U /* Counts of addresses by name that a workload has; a name may hold a quarter of the share, and half with what came one at a time. */
#define FQDN_NAMES_QUOTA 4096U /* Most names kept on behalf of one workload at a time; of `names`, which has as many elements as `learned`, it has as many for itself as there. */
#define FQDN_ITEMS_MOST 0x20000U /* Most items in the sweep's queue of what gave way and was not visited yet, divided by the number of workloads. All that is there has as many. */
#define FQDN_STREAMS_QUOTA 256U /* Most TCP connections of one workload to DNS ports at a time. */
#define FQDN_PARTIALS_QUOTA 4U /* Most answers over TCP of one workload that are there in part. */
#define FQDN_PENDING_MS 10000U /* Milliseconds for which a question waits for its answer. */
#define FQDN_PEER_MS 60000U /* Milliseconds for which a peer that sent to us may be answered. */
#define FQDN_PEERS 2048U /* Peers of a workload that may be answered over UDP, a power of two. */
#define FQDN_PEER_WAYS 4U /* Places among which a peer chooses; the one heard longest ago gives way. */
#define FQDN_SILENT_MS 30000U /* Milliseconds after which a UDP flow whose peer is silent ends with its name's time. */
#define FQDN_SOCK_ACCEPTED 1U /* Socket flag: accepted from a peer outside, replies are not judged. */
#define FQDN_SOCK_CREATED 2U /* Socket flag: made after the programs were attached, by whom is known. */
#define FQDN_SOCK_CONNECTED 4U /* Socket flag: it was connected by its owner, so that it speaks first. */
#define FQDN_SOCK_STREAM 8U /* Socket flag: a TCP connection to a DNS port, whose every byte is judged. */
#define FQDN_SOCK_HEARD 16U /* Socket flag: a datagram socket that a peer from outside has sent to. */
#define FQDN_SOCK_BUSY 32U /* Socket flag: more questions waited at once than find a place in the socket's own page. */
#define FQDN_SOCK_UNJUDGED 64U /* Socket flag: a TCP connection to a DNS port on which bytes passed that nobody judged. */
#define FQDN_DEVICE_ETHERNET 1U /* Kind of a device: Ethernet, its packets can be turned round. */
#define FQDN_DEVICE_LOOPBACK 2U /* Kind of a device: loopback. */
#define FQDN_DOUBT_MOST 4U /* Most refused queries that may be on their way from egress to a device's program; more are dropped. */
#define FQDN_DOUBT_MS 100U /* Milliseconds after which that means that another program lets them pass by ours. */
#define FQDN_SPOKEN_BITS 0x10000U /* Bits of half of what a workload has spoken to, a power of two. */
#define FQDN_SPOKEN_MS 0x927c0U /* Milliseconds after which the older half is forgotten. */
#define FQDN_RECENT 1024U /* Places for what was learned lately, a power of two. */
#define FQDN_SETTLE_SLICE 192U /* Most of them that one run of the sweep's timer settles. */
#define FQDN_SETTLE_MS 10U /* Milliseconds between two runs while there is something to settle: every other one does. */
#define FQDN_SWEEP_SLICE 192U /* Most items a sweep visits in one run of the timer. */
#define FQDN_SWEEP_CROWDED 0x20000U /* Items in the sweep's queue from which on it hurries. */
#define FQDN_HURRY_US 500U /* Microseconds between two runs of the sweep, once round its queue after a workload has ended. */
#define FQDN_SWEEP_MS 50U /* Milliseconds between two runs of the sweep, while there is nothing to settle. */

#define FQDN_COUNT_ALLOWED 0U /* packet of a bound workload allowed by the policy */
#define FQDN_COUNT_ALLOWED_REPLY 1U /* packet of a server to a peer that came in */
#define FQDN_COUNT_ALLOWED_LOCAL 2U /* packet on loopback of a network namespace that is not the host's */
#define FQDN_COUNT_ALLOWED_NEIGHBOUR 3U /* IPv6 neighbour discovery or multicast listener report */
#define FQDN_COUNT_ALLOWED_SERVER 4U /* answer of a workload that is bound as a resolver */
#define FQDN_COUNT_ALLOWED_UNENFORCED 5U /* workload selected by no policy that denies by default */
#define FQDN_COUNT_ALLOWED_AUDIT 6U /* refused by the policy, passed because the workload is in audit mode */
#define FQDN_COUNT_QUERY_ALLOWED 7U /* DNS query for a name that may be asked */
#define FQDN_COUNT_QUERY_OTHER 8U /* DNS message of another opcode than QUERY, to a server whose port a rule opens without names */
#define FQDN_COUNT_QUERY_REFUSED 9U /* DNS query for a name that may not be asked */
#define FQDN_COUNT_QUERY_MALFORMED 10U /* DNS query that is not one well-formed question */
#define FQDN_COUNT_QUERY_SEGMENTED 11U /* several datagrams in one send to a DNS port */
#define FQDN_COUNT_QUERY_TCP 12U /* TCP to a DNS port that no rule opens, or with bytes that were not judged */
#define FQDN_COUNT_QUERY_PIPELINED 13U /* refused DNS query over TCP with others behind it in the same send: the send fails */
#define FQDN_COUNT_QUERY_PENDING_FULL 14U /* question that took the place of an older one, whose answer will not be learned */
#define FQDN_COUNT_REFUSAL_ANSWERED 15U /* refused DNS query that was answered on the spot */
#define FQDN_COUNT_REFUSAL_SILENT 16U /* refused DNS query without an answer: none is wanted, or the device has no program */
#define FQDN_COUNT_REFUSAL_UNCOVERED 17U /* refused DNS query without an answer: its device has no program of ours */
#define FQDN_COUNT_REFUSAL_PASSED_BY 18U /* refused DNS query without an answer: another program of its device lets such pass by ours */
#define FQDN_COUNT_REFUSAL_UNREAD 19U /* refused DNS query over TCP without an answer: sixteen earlier ones lie unread on its socket */
#define FQDN_COUNT_STREAM_UNCOVERED 20U /* TCP connection to a DNS port whose refused queries get no answer, but fail */
#define FQDN_COUNT_STREAMS_FULL 21U /* TCP connection to a DNS port beyond the workload's share: nothing may be sent on it */
#define FQDN_COUNT_SEGMENT_LATE 22U /* segment of an answer over TCP that came before the one it follows: to be sent again */
#define FQDN_COUNT_PACKET_SOCKET 23U /* packet of a packet socket or of AF_XDP */
#define FQDN_COUNT_RAW_TRANSPORT 24U /* UDP or TCP packet that a raw socket made: it may bear any source */
#define FQDN_COUNT_ADDRESS_REFUSED 25U /* packet to an address or port that the policy does not allow */
#define FQDN_COUNT_CONNECT_REFUSED 26U /* connect or sendmsg refused before any packet */
#define FQDN_COUNT_HEADER_MALFORMED 27U /* packet whose headers cannot be read */
#define FQDN_COUNT_HEADER_ROUTING 28U /* packet with a routing header or an IPv4 source route */
#define FQDN_COUNT_HEADER_FRAGMENT 29U /* fragment made by the workload itself */
#define FQDN_COUNT_ROUTE_FORCED 30U /* packet to a DNS port, or of a raw socket, whose socket asked for another neighbour than the routing table names */
#define FQDN_COUNT_LISTENER_DATA 31U /* packet of a listening socket that is no SYN-ACK or RST */
#define FQDN_COUNT_FORGED_ANSWER 32U /* packet that poses as a resolver's answer */
#define FQDN_COUNT_NEIGHBOUR_FORGED 33U /* neighbour discovery from a workload's own socket, or for another link */
#define FQDN_COUNT_OPTION_REFUSED 34U /* socket option that leads round the policy */
#define FQDN_COUNT_IMAGE_MISSING 35U /* denied because no image is published */
#define FQDN_COUNT_BINDING_MISSING 36U /* denied because the workload has no binding for the published image */
#define FQDN_COUNT_SCRATCH_BUSY 37U /* denied because every working buffer of this CPU was taken */
#define FQDN_COUNT_SOCKET_STATE_MISSING 38U /* socket without stored state, judged the slow way */
#define FQDN_COUNT_ANSWER_LEARNED 39U /* answer whose addresses were learned */
#define FQDN_COUNT_ADDRESS_LEARNED 40U /* address learned */
#define FQDN_COUNT_ANSWER_UNSOLICITED 41U /* answer without a pending question: not learned */
#define FQDN_COUNT_ANSWER_MISMATCH 42U /* answer to another question: not learned */
#define FQDN_COUNT_ANSWER_MALFORMED 43U /* answer that is not well formed: not learned */
#define FQDN_COUNT_ANSWER_TRUNCATED 44U /* answer with TC that taught nothing */
#define FQDN_COUNT_ANSWER_ERROR 45U /* answer with another code than NOERROR: not learned */
#define FQDN_COUNT_ANSWER_TOO_LONG 46U /* answer beyond the bounds of size, records or addresses: not learned */
#define FQDN_COUNT_ANSWER_LOCAL 47U /* answer that came over loopback: not learned */
#define FQDN_COUNT_ANSWER_SERVER 48U /* answer of a server outside the resolver set: not learned */
#define FQDN_COUNT_ANSWER_CHAIN 49U /* answer whose CNAMEs contradict each other, go round, or are too many out of order: not learned */
#define FQDN_COUNT_ANSWER_MORE 50U /* answer with more addresses than are learned: the first 512 were */
#define FQDN_COUNT_ANSWER_NAMESPACE 51U /* answer to a socket whose network namespace is not known: not learned */
#define FQDN_COUNT_ANSWER_AUDIT 52U /* answer to a question that passed in audit mode alone: not learned */
#define FQDN_COUNT_ANSWER_EMPTY 53U /* answer without an address of the question's chain */
#define FQDN_COUNT_ADDRESS_NEVER 54U /* address that no answer may teach: not learned */
#define FQDN_COUNT_LEARNED_FULL 55U /* no room for another address in the workload's share: not learned */
#define FQDN_COUNT_LEARNED_DISPLACED 56U /* learned address that gave way to a new one of its own workload, whose share is full */
#define FQDN_COUNT_NAMES_FULL 57U /* no room for another name in the workload's share, or another name has its hash: not learned */
#define FQDN_COUNT_WORKLOAD_GONE 58U /* workload whose cgroup was removed: what it had is freed, what is left of it denied */
#define FQDN_COUNT_SWEPT_LEARNED 59U /* learned address removed after its time */
#define FQDN_COUNT_SWEEP_LOST 60U /* entry that the sweep could not queue */
#define FQDN_COUNTS 61U

/* Block 0 of an image. */
struct fqdn_image_head {
	__u64 magic; /* `MAGIC`. */
	__u64 generation; /* First 8 bytes of the digest; zero while the digest is taken. */
	__u64 abi; /* Fingerprint of this file's records and constants. */
	__u32 version; /* `VERSION`. */
	__u32 blocks; /* Blocks of the whole image. */
	__u32 flags; /* `IMAGE_*`. */
	__u32 ttl_min; /* Least seconds an address stays learned. */
	__u32 ttl_max; /* Most seconds an address stays learned. */
	__u32 ttl_grace; /* Seconds added to every expiry. */
	__u16 dns_ports[8]; /* Ports whose packets are DNS, ascending, zero where unused. */
};
_Static_assert(sizeof(struct fqdn_image_head) == 64, "size");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, magic) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, generation) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, abi) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, version) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, blocks) == 28, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, flags) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, ttl_min) == 36, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, ttl_max) == 40, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, ttl_grace) == 44, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_head, dns_ports) == 48, "offset");

/* Block 1: where the name automaton lies. Positions are block numbers. */
struct fqdn_image_walk {
	__u64 seed; /* Seed of the edge hash, derived from the image's content. */
	__u64 k[3]; /* Multipliers of the edge hash. */
	__u32 trie; /* First block of the trie's buckets. */
	__u32 buckets; /* Buckets of two edges. */
	__u32 depth; /* First block of the wildcard states. */
	__u32 states; /* Wildcard states; they have the ids 1 to this. */
	__u32 globs; /* First block of the glob words. */
	__u32 glob_words; /* Glob words of 8 bytes. */
	__u32 labels; /* First block of the labels over `LABEL_INLINE`. */
	__u32 long_labels; /* Long labels, a block each. */
};
_Static_assert(sizeof(struct fqdn_image_walk) == 64, "size");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, seed) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, k) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, trie) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, buckets) == 36, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, depth) == 40, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, states) == 44, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, globs) == 48, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, glob_words) == 52, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, labels) == 56, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_walk, long_labels) == 60, "offset");

/* Block 2: where the rows from class to verdict lie. */
struct fqdn_image_rows {
	__u32 members; /* First block of the members of classes with several selectors. */
	__u32 members_n; /* Number of members. */
	__u32 classes; /* First block of those classes. */
	__u32 classes_n; /* Their number; class ids 1 to `selectors_n` are single selectors, the ids after them these. */
	__u32 selectors; /* First block of the selectors. */
	__u32 selectors_n; /* Number of selectors; their ids begin with 1. */
	__u32 grants; /* First block of the grants. */
	__u32 grants_n; /* Number of grants. */
	__u32 sets; /* First block of the port sets. */
	__u32 sets_n; /* Number of port sets. */
	__u32 ranges; /* First block of the port ranges. */
	__u32 ranges_n; /* Number of port ranges. */
	__u32 cidrs; /* First block of the address intervals. */
	__u32 cidrs_n; /* Number of address intervals. */
	__u32 layers; /* Layers of the automaton, 1 to `LAYERS_MAX`; the states 1 to this are their roots. */
	__u32 pad; /* Zero. */
};
_Static_assert(sizeof(struct fqdn_image_rows) == 64, "size");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, members) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, members_n) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, classes) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, classes_n) == 12, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, selectors) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, selectors_n) == 20, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, grants) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, grants_n) == 28, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, sets) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, sets_n) == 36, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, ranges) == 40, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, ranges_n) == 44, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, cidrs) == 48, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, cidrs_n) == 52, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, layers) == 56, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_rows, pad) == 60, "offset");

/* Block 3: where the tables lie that only user space reads. */
struct fqdn_image_texts {
	__u32 subjects; /* First block of the subjects. */
	__u32 subjects_n; /* Number of subjects; subject 0 is every workload. */
	__u32 policies; /* First block of the policies. */
	__u32 policies_n; /* Number of policies. */
	__u32 resolvers; /* First block of the profile's resolver addresses. */
	__u32 resolvers_n; /* Their number. */
	__u32 texts; /* First block of the texts. */
	__u32 text_bytes; /* Bytes of the texts. */
	__u32 profile; /* Byte position of the profile's text among the texts. */
	__u32 profile_len; /* Its length in bytes. */
	__u32 patterns; /* Distinct name patterns, for `inspect`. */
	__u32 pad[5]; /* Zero. */
};
_Static_assert(sizeof(struct fqdn_image_texts) == 64, "size");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, subjects) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, subjects_n) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, policies) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, policies_n) == 12, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, resolvers) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, resolvers_n) == 20, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, texts) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, text_bytes) == 28, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, profile) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, profile_len) == 36, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, patterns) == 40, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_texts, pad) == 44, "offset");

/* Block 4: which addresses may be learned without a look at the intervals, a bit for each first octet. */
struct fqdn_image_learnable {
	__u64 v4[4]; /* Of IPv4 addresses: set = none that begins so is of `SELECTOR_NEVER`. */
	__u64 v6[4]; /* Of IPv6 addresses. */
};
_Static_assert(sizeof(struct fqdn_image_learnable) == 64, "size");
_Static_assert(__builtin_offsetof(struct fqdn_image_learnable, v4) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_image_learnable, v6) == 32, "offset");

/* One edge of the trie: a label that leads from one state to the next. */
struct fqdn_edge {
	__u64 word0; /* Length byte and first 7 bytes of the label, zero-padded. */
	__u64 word1; /* Bytes 8 to 15 of the label; for a long label a hash of all of it. */
	__u32 word2; /* Bytes 16 to 19 of the label; for a long label its block number among the labels. */
	__u32 parent; /* State the edge leaves; 0 = empty slot. */
	__u32 class; /* Class of a name that ends here. */
	__u32 next; /* State the edge reaches, 0 = none; `NEXT_RESEED`, `NEXT_BARE`. */
};
_Static_assert(sizeof(struct fqdn_edge) == 32, "size");
_Static_assert(__builtin_offsetof(struct fqdn_edge, word0) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_edge, word1) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_edge, word2) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_edge, parent) == 20, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_edge, class) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_edge, next) == 28, "offset");

/* What a state does with labels that have no edge of their own: the wildcard-depth data. */
struct fqdn_state {
	__u32 class; /* Class of a name that ends with any label here. */
	__u32 next; /* State after any label, 0 = none; always reseeded; `NEXT_BARE`. */
	__u32 globs; /* Position of the globs among the glob words plus 1; 0 = none. */
	__u32 star; /* 1 = any label is accepted, 0 = only those that a glob accepts. */
};
_Static_assert(sizeof(struct fqdn_state) == 16, "size");
_Static_assert(__builtin_offsetof(struct fqdn_state, class) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_state, next) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_state, globs) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_state, star) == 12, "offset");

/* A matchName, matchPattern or CIDR that some rule names. */
struct fqdn_selector {
	__u32 grants; /* Its first grant. */
	__u32 grants_n; /* Number of its grants, ascending by subject. */
	__u32 text; /* Position of its text. */
	__u16 text_len; /* Length of its text. */
	__u16 kind; /* `KIND_*`. */
};
_Static_assert(sizeof(struct fqdn_selector) == 16, "size");
_Static_assert(__builtin_offsetof(struct fqdn_selector, grants) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_selector, grants_n) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_selector, text) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_selector, text_len) == 12, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_selector, kind) == 14, "offset");

/* One subject may use one selector. */
struct fqdn_grant {
	__u32 subject; /* Who. */
	__u32 ports; /* Port set. */
	__u32 servers; /* 0 = may reach; `SERVERS_DENY` = may not; else may ask these servers: entries' bits, or `SERVERS_CIDR` and a selector. */
	__u32 policy; /* Policy that says so. */
};
_Static_assert(sizeof(struct fqdn_grant) == 16, "size");
_Static_assert(__builtin_offsetof(struct fqdn_grant, subject) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_grant, ports) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_grant, servers) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_grant, policy) == 12, "offset");

/* A run of records in another table. */
struct fqdn_span {
	__u32 first; /* First record. */
	__u32 count; /* Number of records. */
};
_Static_assert(sizeof(struct fqdn_span) == 8, "size");
_Static_assert(__builtin_offsetof(struct fqdn_span, first) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_span, count) == 4, "offset");

/* Ports of one protocol. */
struct fqdn_port_range {
	__u16 proto; /* IP protocol number. */
	__u16 low; /* First port. */
	__u16 high; /* Last port. */
	__u16 pad; /* Zero. */
};
_Static_assert(sizeof(struct fqdn_port_range) == 8, "size");
_Static_assert(__builtin_offsetof(struct fqdn_port_range, proto) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_port_range, low) == 2, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_port_range, high) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_port_range, pad) == 6, "offset");

/* Addresses from here to the next interval. */
struct fqdn_interval {
	__u64 high; /* Upper 64 bits of the first address. */
	__u64 low; /* Lower 64 bits of the first address. */
	__u32 class; /* Class of these addresses. */
	__u32 pad[3]; /* Zero. */
};
_Static_assert(sizeof(struct fqdn_interval) == 32, "size");
_Static_assert(__builtin_offsetof(struct fqdn_interval, high) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_interval, low) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_interval, class) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_interval, pad) == 20, "offset");

/* A text of a subject or a policy. */
struct fqdn_text {
	__u32 at; /* Position among the texts. */
	__u16 len; /* Length in bytes. */
	__u16 flags; /* `SUBJECT_*` for subjects, else zero. */
};
_Static_assert(sizeof(struct fqdn_text) == 8, "size");
_Static_assert(__builtin_offsetof(struct fqdn_text, at) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_text, len) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_text, flags) == 6, "offset");

/* An address of a resolver entry, as the profile gives it. */
struct fqdn_resolver {
	__u8 addr[16]; /* Address. */
	__u32 prefix; /* Prefix length over the 16 bytes. */
	__u32 entry; /* Number of the entry. */
	__u32 pad[2]; /* Zero. */
};
_Static_assert(sizeof(struct fqdn_resolver) == 32, "size");
_Static_assert(__builtin_offsetof(struct fqdn_resolver, addr) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_resolver, prefix) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_resolver, entry) == 20, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_resolver, pad) == 24, "offset");

/* Value of `node`: what all programs share. */
struct fqdn_node {
	__u64 epoch; /* Changed after every bind, unbind, relabel and change of mode. */
	__u64 secret[2]; /* Key of the name hash, random at each load. */
	__u64 host_netns; /* Cookie of the host's network namespace. */
	__u32 workloads; /* Number of workloads; none = every hook returns at once. */
	__u32 sweeping; /* 1 once the sweep runs. */
	__u32 refuse_mark; /* Mark of refused queries on their way to the device's program, random at each load; the low two bits say how. */
	__u32 doubt; /* 1 = a device of some namespace is in doubt: whether its program meets what it should. */
	__u64 sweep_longest; /* Longest slice of the sweep so far, nanoseconds. */
	__u64 suspended; /* Nanoseconds by which CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC, as the loader and the sweep last found it. */
	__u32 vouch_mark; /* Mark of what a resolver outside every workload says over loopback, random at each load. */
	__u32 pad; /* Zero. */
};
_Static_assert(sizeof(struct fqdn_node) == 72, "size");
_Static_assert(__builtin_offsetof(struct fqdn_node, epoch) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, secret) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, host_netns) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, workloads) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, sweeping) == 36, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, refuse_mark) == 40, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, doubt) == 44, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, sweep_longest) == 48, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, suspended) == 56, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, vouch_mark) == 64, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_node, pad) == 68, "offset");

/* Value of `workloads`, by cgroup id: what `bind` was told. */
struct fqdn_workload {
	__u32 mode; /* `MODE_*`. */
	__u16 namespace_len; /* Length of the namespace, the first part of the text. */
	__u16 labels_len; /* Length of the labels `k=v,...`, the part after it. */
	__u16 path_len; /* Length of the cgroup's path, the last part. */
	__u16 pad; /* Zero. */
	__u32 flags; /* `WORKLOAD_*`. */
	__u8 text[1008]; /* Namespace, labels, path. */
};
_Static_assert(sizeof(struct fqdn_workload) == 1024, "size");
_Static_assert(__builtin_offsetof(struct fqdn_workload, mode) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_workload, namespace_len) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_workload, labels_len) == 6, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_workload, path_len) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_workload, pad) == 10, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_workload, flags) == 12, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_workload, text) == 16, "offset");

/* Key of `bindings`. */
struct fqdn_binding_key {
	__u64 cgroup; /* Cgroup id. */
	__u64 generation; /* Image generation. */
};
_Static_assert(sizeof(struct fqdn_binding_key) == 16, "size");
_Static_assert(__builtin_offsetof(struct fqdn_binding_key, cgroup) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_binding_key, generation) == 8, "offset");

/* Value of `bindings`: the subjects that select a workload. */
struct fqdn_binding {
	__u32 flags; /* `BINDING_*`. */
	__u32 count; /* Number of subjects. */
	__u64 version; /* Epoch in which the subjects became these. */
	__u32 subjects[64]; /* The subjects, ascending, `SUBJECT_ALL` first. */
	__u64 asked[32]; /* Questions that were allowed, each in four words: the server's address, what counted, a seal. The programs' own. */
	__u64 learned[128]; /* Addresses that were learned, a bit each by a hash: a guess at which are there. The programs' own. */
};
_Static_assert(sizeof(struct fqdn_binding) == 1552, "size");
_Static_assert(__builtin_offsetof(struct fqdn_binding, flags) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_binding, count) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_binding, version) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_binding, subjects) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_binding, asked) == 272, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_binding, learned) == 528, "offset");

/* Key of `resolvers`, an LPM trie. */
struct fqdn_resolver_key {
	__u32 prefixlen; /* 64 bits of generation and those of the address. */
	__u8 generation[8]; /* Image generation, little-endian. */
	__u8 addr[16]; /* Address. */
};
_Static_assert(sizeof(struct fqdn_resolver_key) == 28, "size");
_Static_assert(__builtin_offsetof(struct fqdn_resolver_key, prefixlen) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_resolver_key, generation) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_resolver_key, addr) == 12, "offset");

/* Value of `resolvers`. */
struct fqdn_resolver_value {
	__u32 entries; /* A bit for each resolver entry that the address belongs to. */
	__u32 pad; /* Zero. */
};
_Static_assert(sizeof(struct fqdn_resolver_value) == 8, "size");
_Static_assert(__builtin_offsetof(struct fqdn_resolver_value, entries) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_resolver_value, pad) == 4, "offset");

/* Which answer a question waits for. */
struct fqdn_question {
	__u64 cookie; /* Socket cookie. */
	__u8 server[16]; /* Server asked. */
	__u16 id; /* DNS message id, network order. */
	__u16 port; /* Server port. */
	__u32 proto; /* IP protocol. */
};
_Static_assert(sizeof(struct fqdn_question) == 32, "size");
_Static_assert(__builtin_offsetof(struct fqdn_question, cookie) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_question, server) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_question, id) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_question, port) == 26, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_question, proto) == 28, "offset");

/* Value of `names`, by keyed hash of the name. */
struct fqdn_name {
	__u64 until; /* Latest end of an address learned for it, CLOCK_BOOTTIME nanoseconds. */
	__u64 owner; /* Workload whose share it takes. */
	__u32 len; /* Length on the wire. */
	__u32 share; /* In `names`: whose room it takes, in the programs' own bits; from bit 8 on, how many addresses are held that were learned for it first and counted here. */
	__u8 bytes[256]; /* Name on the wire, lower case, zero-padded to 8 bytes; what is behind that means nothing. */
};
_Static_assert(sizeof(struct fqdn_name) == 280, "size");
_Static_assert(__builtin_offsetof(struct fqdn_name, until) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_name, owner) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_name, len) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_name, share) == 20, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_name, bytes) == 24, "offset");

/* A question on its way. */
struct fqdn_pending {
	__u32 busy; /* 1 while one CPU reads or writes it. */
	__u16 plain; /* As in `learned`. */
	__u16 resolver; /* 1 = the server was a resolver under that image. */
	__u64 time; /* When it was asked, CLOCK_BOOTTIME nanoseconds; 0 = the place is free. */
	struct fqdn_question asked; /* What its answer must fit. */
	__u64 generation; /* Image that allowed the question. */
	__u32 class; /* Class of the name in that image. */
	__u16 qtype; /* Query type. */
	__u16 mute; /* 1 = it passed in audit mode alone: its answer teaches nothing. */
	struct fqdn_name name; /* Name asked for, as it will stand in `names`. */
};
_Static_assert(sizeof(struct fqdn_pending) == 344, "size");
_Static_assert(__builtin_offsetof(struct fqdn_pending, busy) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending, plain) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending, resolver) == 6, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending, time) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending, asked) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending, generation) == 48, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending, class) == 56, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending, qtype) == 60, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending, mute) == 62, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending, name) == 64, "offset");

/* Key of `pending`, chosen by a hash of the question. */
struct fqdn_pending_key {
	__u64 cgroup; /* Workload. */
	__u64 page; /* Below `PENDING_PAGES`. */
};
_Static_assert(sizeof(struct fqdn_pending_key) == 16, "size");
_Static_assert(__builtin_offsetof(struct fqdn_pending_key, cgroup) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_pending_key, page) == 8, "offset");

/* Value of `pending`, made when a workload is bound. */
struct fqdn_pending_page {
	struct fqdn_pending slots[8]; /* The questions. */
};
_Static_assert(sizeof(struct fqdn_pending_page) == 2752, "size");
_Static_assert(__builtin_offsetof(struct fqdn_pending_page, slots) == 0, "offset");

/* Value of `usage`, by workload: what it takes of the maps that all share. */
struct fqdn_usage {
	__u64 learned; /* Addresses in `learned`, and what is on its way there. */
	__u64 names; /* Names in `names`. */
	__u64 streams; /* Connections in `streams`. */
	__u64 partials; /* Answers in `partials`. */
	__u64 spilled; /* Until when a question may stand outside the places that its hash gives it, CLOCK_BOOTTIME nanoseconds. */
	__u64 idle; /* Of the addresses in `learned`, those that no rule lets it reach; they are not counted above. */
	__u64 own; /* Of the others, those that take the room that is its own, at most `RESERVED`. */
	__u64 own_names; /* Of the names, those that take the room that is its own. */
	__u64 items; /* Items in the sweep's queue. */
	__u64 short_of; /* Until when names are short, CLOCK_BOOTTIME nanoseconds: those that no address is held for do not stay. */
};
_Static_assert(sizeof(struct fqdn_usage) == 80, "size");
_Static_assert(__builtin_offsetof(struct fqdn_usage, learned) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_usage, names) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_usage, streams) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_usage, partials) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_usage, spilled) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_usage, idle) == 40, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_usage, own) == 48, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_usage, own_names) == 56, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_usage, items) == 64, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_usage, short_of) == 72, "offset");

/* An address that a workload has learned. */
struct fqdn_owned_key {
	__u8 addr[16]; /* Address. */
	__u64 netns; /* Cookie of the network namespace. */
};
_Static_assert(sizeof(struct fqdn_owned_key) == 24, "size");
_Static_assert(__builtin_offsetof(struct fqdn_owned_key, addr) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_owned_key, netns) == 16, "offset");

/* Value of `owned`, by workload, made when it is bound: what may give way when its share is full. */
struct fqdn_owned {
	__u32 next; /* Where a free place is looked for next. */
	__u32 pad; /* Zero. */
	__u32 by_name[4096]; /* Addresses of the names that have this hash. */
	struct fqdn_owned_key keys[4352]; /* Its addresses. */
	__u64 marks[4352]; /* What is drawn by, of each: when it was used at least, for which name, and whether a rule reaches it; 0 = the place is free. The programs' own. */
};
_Static_assert(sizeof(struct fqdn_owned) == 155656, "size");
_Static_assert(__builtin_offsetof(struct fqdn_owned, next) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_owned, pad) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_owned, by_name) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_owned, keys) == 16392, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_owned, marks) == 120840, "offset");

/* One direction of a connection to a DNS port: how far its bytes have been met. */
struct fqdn_half {
	__u32 next; /* Sequence number of the next byte. */
	__u32 have; /* Bytes of the present message that have come, its length included. */
	__u32 length; /* The present message's length. */
	__u32 lost; /* 1 = a part of the present message was not kept. */
};
_Static_assert(sizeof(struct fqdn_half) == 16, "size");
_Static_assert(__builtin_offsetof(struct fqdn_half, next) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_half, have) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_half, length) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_half, lost) == 12, "offset");

/* Value of `stream_owners`, by socket cookie: a TCP connection to a DNS port. */
struct fqdn_stream {
	__u64 cgroup; /* Workload that opened it. */
	__u8 server[16]; /* Server that it asks, as the socket knows it. */
	__u32 port; /* Its port. */
	__u32 busy; /* 1 while one CPU reads an answer's segment. */
	__u32 out[4]; /* What the workload sends. */
	__u32 back[4]; /* What the server sends; its `lost` also says that nothing more teaches. */
	__u64 cookie; /* As in the key: an element that was removed and taken anew is noticed. */
};
_Static_assert(sizeof(struct fqdn_stream) == 72, "size");
_Static_assert(__builtin_offsetof(struct fqdn_stream, cgroup) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_stream, server) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_stream, port) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_stream, busy) == 28, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_stream, out) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_stream, back) == 48, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_stream, cookie) == 64, "offset");

/* Key of `partials`. */
struct fqdn_partial_key {
	__u64 cookie; /* Socket cookie. */
	__u64 back; /* 0 = questions, 1 = answers. */
};
_Static_assert(sizeof(struct fqdn_partial_key) == 16, "size");
_Static_assert(__builtin_offsetof(struct fqdn_partial_key, cookie) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_partial_key, back) == 8, "offset");

/* Key of `devices`. */
struct fqdn_device_key {
	__u64 netns; /* Cookie of the network namespace. */
	__u32 ifindex; /* Index of the device. */
	__u32 pad; /* Zero. */
};
_Static_assert(sizeof(struct fqdn_device_key) == 16, "size");
_Static_assert(__builtin_offsetof(struct fqdn_device_key, netns) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_device_key, ifindex) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_device_key, pad) == 12, "offset");

/* Value of `devices`: a device whose egress has our program. */
struct fqdn_device {
	__u32 kind; /* `DEVICE_*`. */
	__u32 passed_by; /* 1 = what egress marked was not met for `DOUBT_MS`: nothing is marked until a verb has looked, or an allowed query was met. */
	__u64 waiting; /* Refused queries that egress marked for the program there, less those that it met. */
	__u64 since; /* Since when more than `DOUBT_MOST` are on their way, CLOCK_BOOTTIME nanoseconds; 0 = they are not. */
};
_Static_assert(sizeof(struct fqdn_device) == 24, "size");
_Static_assert(__builtin_offsetof(struct fqdn_device, kind) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_device, passed_by) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_device, waiting) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_device, since) == 16, "offset");

/* Key of `learned`. */
struct fqdn_learned_key {
	__u64 cgroup; /* Workload. */
	__u8 addr[16]; /* Address. */
	__u64 netns; /* Cookie of the network namespace: what a namespace of the workload's own making teaches counts there alone. */
};
_Static_assert(sizeof(struct fqdn_learned_key) == 32, "size");
_Static_assert(__builtin_offsetof(struct fqdn_learned_key, cgroup) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned_key, addr) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned_key, netns) == 24, "offset");

/* One name that an address was learned for. */
struct fqdn_learned_name {
	__u64 name; /* Key in `names`; 0 = free. */
	__u64 generation; /* Image that `class` belongs to. */
	__u64 expiry; /* End, CLOCK_BOOTTIME nanoseconds. */
	__u32 class; /* Class of the name. */
	__u8 plain; /* 1 = all its bytes are plain, so that `SELECTOR_STAR` matches; known if the image has that selector. */
	__u8 learnable; /* Bit 0 = under that image no rule is needed to learn the address: it is none of `SELECTOR_NEVER`. The others are the programs' own. */
	__u16 held; /* Minutes from the answer to the end, rounded up; 0 = not known. */
};
_Static_assert(sizeof(struct fqdn_learned_name) == 32, "size");
_Static_assert(__builtin_offsetof(struct fqdn_learned_name, name) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned_name, generation) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned_name, expiry) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned_name, class) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned_name, plain) == 28, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned_name, learnable) == 29, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned_name, held) == 30, "offset");

/* Value of `learned`. The key stands in it again: an element that was freed and taken anew is noticed. */
struct fqdn_learned {
	struct bpf_spin_lock lock; /* Guards what is below. */
	__u32 pad; /* Zero. */
	__u64 cgroup; /* As in the key; 0 = the sweep has ended it. */
	__u8 addr[16]; /* As in the key. */
	struct fqdn_learned_name names[8]; /* The names. */
	__u64 netns; /* As in the key. */
	__u64 carried; /* Key of the name that stands below, and not in `names`: the only one that led here when the address was new. */
	__u32 carried_len; /* Its length on the wire; 0 = none. */
	__u16 share; /* Whose room it takes, in the programs' own bits. */
	__u16 slot; /* Where it is written down in `owned`. */
	__u8 carried_bytes[96]; /* It, as in `names`. */
	__u64 used; /* When the workload last looked for it, CLOCK_BOOTTIME nanoseconds. */
	__u64 until; /* Latest end of a name of it. */
	__u64 first; /* The name that it was learned for. */
	__u64 born; /* When it was last learned, within 4 ms. */
};
_Static_assert(sizeof(struct fqdn_learned) == 440, "size");
_Static_assert(__builtin_offsetof(struct fqdn_learned, lock) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, pad) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, cgroup) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, addr) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, names) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, netns) == 288, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, carried) == 296, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, carried_len) == 304, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, share) == 308, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, slot) == 310, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, carried_bytes) == 312, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, used) == 408, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, until) == 416, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, first) == 424, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_learned, born) == 432, "offset");

/* Value of `recent`: an address that was learned lately, and is not in `learned` yet, or not for this name. */
struct fqdn_recent {
	struct bpf_spin_lock lock; /* Guards what is below. */
	__u16 len; /* Length of the name on the wire. */
	__u16 slot; /* Where it is written down in `owned`. */
	__u64 cgroup; /* Workload; 0 = the place is free. */
	__u8 addr[16]; /* Address. */
	__u64 netns; /* Cookie of the network namespace. */
	struct fqdn_learned_name name; /* For what name. */
	__u8 bytes[96]; /* Its text, as in `names`. */
};
_Static_assert(sizeof(struct fqdn_recent) == 168, "size");
_Static_assert(__builtin_offsetof(struct fqdn_recent, lock) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_recent, len) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_recent, slot) == 6, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_recent, cgroup) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_recent, addr) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_recent, netns) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_recent, name) == 40, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_recent, bytes) == 72, "offset");

/* Storage of a socket. A cache, but for the flags; absent = judge the slow way and grant nothing. What every packet looks at stands first, in one cache line. */
struct fqdn_sock {
	__u32 seq; /* Odd while one CPU writes the cache below. */
	__u32 flags; /* `SOCK_*`. */
	__u64 netns; /* Cookie of the network namespace it was made in; 0 = unknown. */
	__u64 epoch; /* Epoch of `workload`. */
	__u64 workload; /* Workload; 0 = unbound. */
	__u64 cookie; /* Cookie of the socket; 0 = not known. */
	__u64 generation; /* Image that allowed the flow in `addr`. */
	__u16 proto; /* Protocol of that flow; 0 = nothing cached. */
	__u16 port; /* Its destination port. */
	__u16 source_port; /* Port that it was sent from. */
	__u16 pad; /* Zero. */
	__u8 addr[16]; /* Destination of the flow that is allowed. */
	__u64 expiry; /* End of the allowance, CLOCK_BOOTTIME nanoseconds; 0 = none. */
	__u64 version; /* Version of the binding that allowed the flow. */
	__u64 allowed_epoch; /* Epoch in which the flow was allowed: in the same one its binding is the same. */
	__u64 creator; /* Cgroup that made it. */
	__u8 comm[16]; /* Name of the process that made it. */
	__u8 peer[16]; /* Peer that was accepted. */
	__u16 peer_port; /* Its port. */
	__u16 pad2; /* Zero. */
	__u32 queued; /* Length of the send queue, as a sequence number, by what passed the program of `streams`. */
	__u32 tgid; /* That process. */
	__u32 pad3; /* Zero. */
	__u64 heard; /* Last datagram of the flow in `addr`, CLOCK_BOOTTIME nanoseconds. */
	__u64 lasts; /* Until when that flow may outlive its name's time; 0 = it may not. */
};
_Static_assert(sizeof(struct fqdn_sock) == 168, "size");
_Static_assert(__builtin_offsetof(struct fqdn_sock, seq) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, flags) == 4, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, netns) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, epoch) == 16, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, workload) == 24, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, cookie) == 32, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, generation) == 40, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, proto) == 48, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, port) == 50, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, source_port) == 52, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, pad) == 54, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, addr) == 56, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, expiry) == 72, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, version) == 80, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, allowed_epoch) == 88, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, creator) == 96, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, comm) == 104, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, peer) == 120, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, peer_port) == 136, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, pad2) == 138, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, queued) == 140, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, tgid) == 144, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, pad3) == 148, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, heard) == 152, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sock, lasts) == 160, "offset");

/* Value of `peers`, by workload, made when it is bound: who has sent to it over UDP, and may be answered. */
struct fqdn_peers {
	__u64 hash[2048]; /* Keyed hash of network namespace, peer, its port and ours; 0 = the place is free. */
	__u32 time[2048]; /* Last datagram of that peer, in units of 2^24 ns. */
};
_Static_assert(sizeof(struct fqdn_peers) == 24576, "size");
_Static_assert(__builtin_offsetof(struct fqdn_peers, hash) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_peers, time) == 16384, "offset");

/* Value of `spoken`, by workload: a filter of the peers to which it spoke first, so that their packets open nothing. */
struct fqdn_spoken {
	__u64 turn; /* Number of the present half's time. */
	__u64 bits[2048]; /* Two halves; a bit may stand for several peers. */
};
_Static_assert(sizeof(struct fqdn_spoken) == 16392, "size");
_Static_assert(__builtin_offsetof(struct fqdn_spoken, turn) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_spoken, bits) == 8, "offset");

/* Item of `sweep`: an entry of `learned`, or of `names`, to be visited. */
struct fqdn_sweep_item {
	__u64 cgroup; /* Workload; 0 = a name. */
	__u64 key[2]; /* Address, or the name's key in the first half. */
	__u64 netns; /* Network namespace. */
};
_Static_assert(sizeof(struct fqdn_sweep_item) == 32, "size");
_Static_assert(__builtin_offsetof(struct fqdn_sweep_item, cgroup) == 0, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sweep_item, key) == 8, "offset");
_Static_assert(__builtin_offsetof(struct fqdn_sweep_item, netns) == 24, "offset");

#endif
