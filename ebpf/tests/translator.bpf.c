// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* What a socket load balancer does: 10.96.0.10:53 is another address, before any packet (Cilium's connect4, sendmsg4). */
#include "vmlinux.h"
#include "vendor/bpf_helpers.h"
#include "vendor/bpf_endian.h"

#define SERVICE bpf_htonl(0x0a60000a)
#define BACKEND bpf_htonl(0x0ac60001)

static __always_inline int translate(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip4 == SERVICE && ctx->user_port == bpf_htons(53))
		ctx->user_ip4 = BACKEND;
	return 1;
}

SEC("cgroup/connect4")
int translate_connect4(struct bpf_sock_addr *ctx)
{
	return translate(ctx);
}

SEC("cgroup/sendmsg4")
int translate_sendmsg4(struct bpf_sock_addr *ctx)
{
	return translate(ctx);
}

SEC("cgroup/recvmsg4")
int translate_recvmsg4(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip4 == BACKEND && ctx->user_port == bpf_htons(53))
		ctx->user_ip4 = SERVICE;
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
