// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The hooks. Each adapts its context and asks one question of lib/. Loaded once; no policy is in here.
 *
 * A packet of a bound workload passes only where a line of hooks/ says so; the rest is refused with a reason.
 */
#include "hooks/egress.h"
#include "hooks/ingress.h"
#include "hooks/socket.h"
#include "hooks/connection.h"
#include "hooks/stream.h"
#include "hooks/device.h"
#include "hooks/cgroup.h"

const volatile __u64 fqdn_abi = FQDN_ABI;

char _license[] SEC("license") = "Dual BSD/GPL";
