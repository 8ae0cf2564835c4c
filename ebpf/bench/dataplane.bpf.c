// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The programs as they are, but for two things that a test run lacks: its socket has the cookie 1, and a question that
 * has been answered is asked again at once, so that each of many runs learns (which makes a run dearer, not cheaper).
 */
#include "vmlinux.h"
#include "vendor/bpf_helpers.h"

#define bpf_get_socket_cookie(context) 1
#define forget_question forget_for_good
#include "lib/query.h"
#undef forget_question

static __always_inline void forget_question(struct fqdn_pending *question)
{
	__u64 asked = question ? question->time : 0;

	forget_for_good(question);
	if (question)
		*(volatile __u64 *)&question->time = asked;
}

#include "fqdn.bpf.c"
