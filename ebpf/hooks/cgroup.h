/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The end of a workload, in two steps. Its cgroup is removed: what it had is freed, and what is left of it, sockets that
 * somebody else holds, is denied. The last of these is closed: nothing is known of it any more.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include "lib/verdict.h"

/* The id of a cgroup of version 2, whose hierarchy has number 0 (cgroup_init, kernel/cgroup/cgroup.c); 0 = of another. */
static __always_inline __u64 cgroup_of(const struct bpf_raw_tracepoint_args *ctx)
{
	const struct cgroup *cgroup = (void *)ctx->args[0];
	struct cgroup_root *root;
	struct kernfs_node *node;
	__s32 hierarchy;
	__u64 id;

	if (READ_KERNEL(root, cgroup->root) || READ_KERNEL(hierarchy, root->hierarchy_id) || hierarchy || READ_KERNEL(node, cgroup->kn) ||
	    READ_KERNEL(id, node->id))
		return 0;
	return id;
}

static long forget_page(__u32 i, __u64 *cgroup)
{
	struct fqdn_pending_key key = { .cgroup = *cgroup, .page = i };

	bpf_map_delete_elem(&pending, &key);
	return 0;
}

static __always_inline void forget_binding(__u64 cgroup, __u32 slot)
{
	struct fqdn_binding_key key = { .cgroup = cgroup };
	const struct fqdn_image_head *head;
	__u32 zero = 0;
	void *map = bpf_map_lookup_elem(&image, &slot);

	head = map ? bpf_map_lookup_elem(map, &zero) : NULL;
	if (!head)
		return;
	key.generation = head->generation;
	bpf_map_delete_elem(&bindings, &key);
}

SEC("raw_tp/cgroup_rmdir")
int fqdn_cgroup_rmdir(struct bpf_raw_tracepoint_args *ctx)
{
	struct fqdn_node *node = the_node();
	__u64 cgroup = cgroup_of(ctx), *deaths;
	struct fqdn_workload *workload;
	__u32 zero = 0;

	if (!node || !node->workloads || !cgroup)
		return 0;
	workload = bpf_map_lookup_elem(&workloads, &cgroup);
	if (!workload)
		return 0;
	/* INVARIANT: it stays here, without a binding: denied, never unbound. */
	workload->mode = FQDN_MODE_GONE;
	forget_binding(cgroup, 0);
	forget_binding(cgroup, 1);
	/* Flows that a socket remembers are judged anew. */
	__sync_fetch_and_add(&node->epoch, 1);
	bpf_loop(FQDN_PENDING_PAGES, forget_page, &cgroup, 0);
	bpf_map_delete_elem(&spoken, &cgroup);
	bpf_map_delete_elem(&peers, &cgroup);
	bpf_map_delete_elem(&owned, &cgroup);
	deaths = bpf_map_lookup_elem(&gone, &zero);
	if (deaths)
		__sync_fetch_and_add(deaths, 1);
	count(FQDN_COUNT_WORKLOAD_GONE);
	return 0;
}

/* By now the last socket is closed. The number of workloads is the loader's to say: were it too small, hooks would look away. */
SEC("raw_tp/cgroup_release")
int fqdn_cgroup_release(struct bpf_raw_tracepoint_args *ctx)
{
	struct fqdn_node *node = the_node();
	__u64 cgroup = cgroup_of(ctx);

	if (!node || !node->workloads || !cgroup)
		return 0;
	if (bpf_map_delete_elem(&workloads, &cgroup) == 0)
		bpf_map_delete_elem(&usage, &cgroup);
	return 0;
}

#endif
