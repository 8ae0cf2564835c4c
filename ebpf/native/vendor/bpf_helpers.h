/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Stands in for the kernel's helpers where the parser is compiled for user space: the same source, so that sanitizers
 * and a fuzzer can look at it. No map holds anything; loops are loops.
 */
#ifndef NATIVE_BPF_HELPERS_H
#define NATIVE_BPF_HELPERS_H

#define SEC(name) __attribute__((unused))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]
#define LIBBPF_PIN_BY_NAME 1
#define __always_inline inline __attribute__((always_inline, unused))
#define __noinline __attribute__((unused))

static __always_inline long bpf_loop(__u32 count, void *step, void *context, __u64 flags)
{
	long (*call)(__u32, void *) = (long (*)(__u32, void *))step;

	for (__u32 i = 0; i < count; i++)
		if (call(i, context))
			return i + 1;
	return count;
}

#define bpf_map_lookup_elem(map, key) ((void *)((void)(map), (void)(key), NULL))
#define bpf_map_update_elem(map, key, value, flags) (-1)
#define bpf_map_delete_elem(map, key) (-1)
#define bpf_map_push_elem(map, value, flags) (-1)
#define bpf_map_pop_elem(map, value) (-1)
#define bpf_probe_read_kernel(to, size, from) ((void)(from), -1)
#define bpf_skb_load_bytes(skb, at, to, length) (-1)
#define bpf_sk_storage_get(map, sk, value, flags) ((void *)NULL)
#define bpf_sk_storage_delete(map, sk) (-1)
#define bpf_skb_ancestor_cgroup_id(skb, level) 0ULL
#define bpf_get_current_ancestor_cgroup_id(level) 0ULL
#define bpf_get_smp_processor_id() 0U
#define bpf_ktime_get_boot_ns() 0ULL
#define bpf_ktime_get_coarse_ns() 0ULL
#define bpf_get_socket_cookie(skb) 0ULL
#define bpf_ktime_get_ns() 0ULL
#define bpf_spin_lock(lock) ((void)(lock))
#define bpf_spin_unlock(lock) ((void)(lock))

#endif
