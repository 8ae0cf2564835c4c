/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The parser of lib/, compiled for user space. The first byte of a message is no part of it: even = an answer, odd = a query. */
#ifndef NATIVE_PARSE_H
#define NATIVE_PARSE_H

#include "vmlinux.h"
#undef NULL
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/parsed.h"

static struct parsed parse(struct scratch *s, const unsigned char *bytes, size_t length)
{
	static struct fqdn_pending question;
	struct job job = { .s = s };
	struct parsed out = {};

	/* As load_message does it. */
	if (length < 1 + DNS_HEADER || length > 1 + FQDN_MESSAGE_MAX) {
		out.why = FQDN_COUNT_ANSWER_TOO_LONG;
		return out;
	}
	s->length = length - 1;
	memcpy(s->message, bytes + 1, length - 1);
	if (bytes[0] & 1)
		parse_as_query(&job, &out);
	else
		parse_as_answer(&job, &question, &out);
	return out;
}

#endif
