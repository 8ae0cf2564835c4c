/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The few types of the kernel's BPF interface that the programs use. Context structures are UAPI
 * (include/uapi/linux/bpf.h): their field order is fixed, so no CO-RE relocation is needed.
 */
#ifndef VMLINUX_H
#define VMLINUX_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u16 __sum16;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_SOCKHASH = 18,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_SK_STORAGE = 24,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
	BPF_F_NO_PREALLOC = 1U << 0,
	BPF_F_MMAPABLE = 1U << 10,
	BPF_F_INNER_MAP = 1U << 12,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1U << 0,
	BPF_F_INGRESS = 1U << 0,
	BPF_F_MARK_MANGLED_0 = 1U << 5,
};

struct bpf_spin_lock {
	__u32 val;
};

struct bpf_timer {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port;
	__be16 dst_port;
	__u16 : 16;
	__u32 dst_ip4;
	__u32 dst_ip6[4];
	__u32 state;
	__s32 rx_queue_mapping;
};

/* A pointer field of a context structure, 8 bytes also where a pointer has 4. */
#define CONTEXT_POINTER(type, name) union { type name; __u64 : 64; } __attribute__((aligned(8)))

struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
	CONTEXT_POINTER(void *, flow_keys);
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	CONTEXT_POINTER(struct bpf_sock *, sk);
	__u32 gso_size;
};

struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 msg_src_ip4;
	__u32 msg_src_ip6[4];
	CONTEXT_POINTER(struct bpf_sock *, sk);
};

struct bpf_raw_tracepoint_args {
	__u64 args[2];
};

struct bpf_tcp_sock {
	__u32 snd_cwnd;
	__u32 srtt_us;
	__u32 rtt_min;
	__u32 snd_ssthresh;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
};

struct bpf_sock_ops {
	__u32 op;
	union {
		__u32 args[4];
		__u32 reply;
		__u32 replylong[4];
	};
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 is_fullsock;
	__u32 snd_cwnd;
	__u32 srtt_us;
	__u32 bpf_sock_ops_cb_flags;
	__u32 state;
	__u32 rtt_min;
	__u32 snd_ssthresh;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 mss_cache;
	__u32 ecn_flags;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u32 packets_out;
	__u32 retrans_out;
	__u32 total_retrans;
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 segs_out;
	__u32 data_segs_out;
	__u32 lost_out;
	__u32 sacked_out;
	__u32 sk_txhash;
	__u64 bytes_received;
	__u64 bytes_acked;
	CONTEXT_POINTER(struct bpf_sock *, sk);
};

struct sk_msg_md {
	CONTEXT_POINTER(void *, data);
	CONTEXT_POINTER(void *, data_end);
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 size;
	CONTEXT_POINTER(struct bpf_sock *, sk);
};

/*
 * Of the kernel's own structures only these fields, by name: the loader finds where they lie in the running kernel
 * (CO-RE). include/linux/tcp.h.
 */
#define RELOCATED __attribute__((preserve_access_index))

struct tcp_sock {
	__u32 snd_una;
	__u32 write_seq;
} RELOCATED;

/* include/net/net_namespace.h, include/net/sock.h */
struct net {
	__u64 net_cookie;
} RELOCATED;

typedef struct {
	struct net *net;
} RELOCATED possible_net_t;

struct sock_common {
	possible_net_t skc_net;
} RELOCATED;

/* include/linux/net.h */
struct socket {
	void *file;
} RELOCATED;

struct sock {
	struct sock_common __sk_common;
	void *sk_user_data;
	struct socket *sk_socket;
} RELOCATED;

/* include/linux/cgroup-defs.h, include/linux/kernfs.h */
struct kernfs_node {
	__u64 id;
} RELOCATED;

struct cgroup_root {
	__s32 hierarchy_id;
} RELOCATED;

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
} RELOCATED;

/* include/linux/types.h, include/linux/skmsg.h */
struct list_head {
	struct list_head *next;
} RELOCATED;

struct sk_msg_sg {
	__u32 size;
} RELOCATED;

struct sk_msg {
	struct sk_msg_sg sg;
	struct list_head list;
} RELOCATED;

struct sk_psock {
	struct list_head ingress_msg;
} RELOCATED;

/* include/linux/netdevice.h */
struct net_device {
	possible_net_t nd_net;
} RELOCATED;

/* include/linux/skbuff.h; the context of a program that gets a packet is this. */
struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	int skb_iif;
	unsigned long _skb_refdst;
	unsigned long _nfct;
} RELOCATED;

/* include/net/dst.h, include/net/route.h */
struct dst_entry {
	struct list_head rt_uncached;
} RELOCATED;

struct rtable {
	struct dst_entry dst;
	__be32 rt_gw4;
} RELOCATED;

struct rtable___before_6_4 {
	struct list_head rt_uncached;
} RELOCATED;

/* include/uapi/linux/bpf.h */
struct bpf_sock_tuple {
	union {
		struct {
			__be32 saddr, daddr;
			__be16 sport, dport;
		} ipv4;
		struct {
			__be32 saddr[4], daddr[4];
			__be16 sport, dport;
		} ipv6;
	};
};

/* include/linux/filter.h: what a struct bpf_sock_ops is */
struct bpf_sock_ops_kern {
	struct sk_buff *skb;
} RELOCATED;

/* include/uapi/linux/netfilter.h */
union nf_inet_addr {
	__u32 all[4];
};

/* include/net/netfilter/nf_conntrack_tuple.h */
union nf_conntrack_man_proto {
	__be16 all;
};

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
	__u16 l3num;
} RELOCATED;

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
		} u;
		__u8 protonum;
	} RELOCATED dst;
} RELOCATED;

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
} RELOCATED;

/* include/net/netfilter/nf_conntrack.h */
struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
} RELOCATED;

struct bpf_sockopt {
	CONTEXT_POINTER(struct bpf_sock *, sk);
	CONTEXT_POINTER(void *, optval);
	CONTEXT_POINTER(void *, optval_end);
	__s32 level;
	__s32 optname;
	__s32 optlen;
	__s32 retval;
};

#endif
