// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Another's program at a device's egress, which lets every packet pass by those behind it (TCX_PASS), as Cilium's does. */
#include "vmlinux.h"
#include "vendor/bpf_helpers.h"

SEC("classifier")
int pass_by(struct __sk_buff *skb)
{
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
