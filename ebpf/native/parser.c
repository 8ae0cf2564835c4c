// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * With -DFUZZ: a target of libFuzzer that looks at invariants and, by the sanitizers, at memory. Without: a filter;
 * a line of hex in, a line out: why found ttl length print, then every address.
 */
#include "native/parse.h"

static struct scratch here, dirty;

static void require(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void check(const struct scratch *s, const struct parsed *out, int query)
{
	if (out->why)
		return;
	require(out->name >= 1 && out->name <= FQDN_NAME_MAX, "a name has 1 to 255 octets");
	require(s->name[out->name - 1] == 0, "a name ends with the root");
	for (unsigned i = out->name; i % 8; i++)
		require(s->name[i] == 0, "nothing stands behind a name in its last word");
	for (unsigned at = 0, labels = 0; s->name[at]; at += 1 + s->name[at])
		require(s->name[at] <= FQDN_LABEL_MAX && at < out->name && ++labels <= FQDN_LABELS_MAX, "labels fill the name");
	if (query)
		return;
	require(out->found >= 1 && out->found <= FQDN_ADDRESSES_MAX, "as many addresses as there is room for");
	for (unsigned i = 0; i < out->found; i++) {
		unsigned at = s->address_at[i] & ~ADDRESS_IS_V6, size = s->address_at[i] & ADDRESS_IS_V6 ? 16 : 4;

		require(at >= DNS_HEADER && at + size <= s->length, "an address lies in the message");
		require(s->address_ttl[i] <= 0x7fffffff, "a time is no negative number");
	}
}

/* What the last message left in the buffer decides nothing. */
static struct parsed parse_twice(const unsigned char *bytes, size_t length)
{
	struct parsed first, second;

	memset(&here, 0, sizeof(here));
	first = parse(&here, bytes, length);
	second = parse(&dirty, bytes, length);
	require(!memcmp(&first, &second, sizeof(first)), "the buffer's last content does not matter");
	check(&here, &first, length && bytes[0] & 1);
	return first;
}

#ifdef FUZZ
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
	parse_twice(bytes, length);
	return 0;
}
#else
int main(void)
{
	static char line[4 * FQDN_MESSAGE_MAX];
	static unsigned char bytes[FQDN_MESSAGE_MAX + 2];

	while (fgets(line, sizeof(line), stdin)) {
		size_t length = strcspn(line, "\n") / 2;
		struct parsed out;

		for (size_t i = 0; i < length && i < sizeof(bytes); i++) {
			char two[3] = { line[2 * i], line[2 * i + 1], 0 };

			bytes[i] = strtoul(two, NULL, 16);
		}
		out = parse_twice(bytes, length);
		printf("%u %u %u %u %llx", out.why, out.found, out.ttl, out.name, out.print);
		for (unsigned i = 0; !out.why && !(bytes[0] & 1) && i < out.found; i++) {
			unsigned at = here.address_at[i] & ~ADDRESS_IS_V6, size = here.address_at[i] & ADDRESS_IS_V6 ? 16 : 4;

			printf(" ");
			for (unsigned k = 0; k < size; k++)
				printf("%02x", here.message[at + k]);
		}
		printf("\n");
		fflush(stdout);
	}
	return 0;
}
#endif
