#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The native parser against dnspython: no address too many, and of honest answers at least 999 in 1,000.

against_dnspython.py PARSER [CORPUS.tsv]   (PARSER is made by build.sh; needs `pip install dnspython`)
"""
import random
import subprocess
import sys

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

dice = random.Random(4)
parser = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ours(message):
    parser.stdin.write("00" + message.hex() + "\n")
    parser.stdin.flush()
    return parser.stdout.readline().split()[5:]


def name():
    return ".".join("abcdefgh"[: 1 + dice.randrange(8)] * (1 + dice.randrange(6)) for _ in range(1 + dice.randrange(4))) + "."


def honest():
    kind = dice.choice(["A", "A", "AAAA"])
    asked = dns.message.make_query(name(), kind, use_edns=dice.choice([None, 0]))
    answer = dns.message.make_response(asked, recursion_available=True)
    owner = asked.question[0].name
    for _ in range(dice.randrange(4)):
        target = name()
        answer.answer.append(dns.rrset.from_text(owner, dice.randrange(90000), "IN", "CNAME", target))
        owner = dns.name.from_text(target)
    addresses = ["{}.{}.{}.{}".format(*(1 + dice.randrange(220) for _ in range(4))) if kind == "A"
                 else "fd00::{:x}:{:x}".format(dice.randrange(65536), dice.randrange(65536)) for _ in range(1 + dice.randrange(8))]
    answer.answer.append(dns.rrset.from_text(owner, dice.randrange(90000), "IN", kind, *addresses))
    if dice.randrange(3) == 0:
        answer.authority.append(dns.rrset.from_text(name(), 60, "IN", "NS", name()))
    if dice.randrange(3) == 0:
        dice.shuffle(answer.answer)
    return answer.to_wire()


def damaged(message):
    message = bytearray(message)
    for _ in range(1 + dice.randrange(3)):
        at = dice.randrange(len(message)) if message else 0
        how = dice.randrange(4)
        if how == 0 and message:
            message[at] = dice.randrange(256)
        elif how == 1 and message:
            message[at] ^= 1 << dice.randrange(8)
        elif how == 2:
            del message[at:]
        else:
            message.insert(at, dice.choice([0, 0xC0, 0x3F, 0x40, 0xFF, 0x2E]))
    return bytes(message)


def neutral(message):
    """Records of types that we only skip made NULL records, so that bad data in them does not count."""
    out = bytearray(message)

    def skip(at):
        while message[at] and message[at] < 0xC0:
            at += 1 + message[at]
        return at + (1 if message[at] == 0 else 2)

    word = lambda at: message[at] << 8 | message[at + 1]
    at = skip(12) + 4
    for _ in range(word(6) + word(8) + word(10)):
        at = skip(at)
        if word(at) not in (1, 5, 28, 41) or (word(at) != 41 and word(at + 2) != 1):
            out[at:at + 2] = b"\0\x0a"
        at += 10 + word(at + 8)
    return bytes(out)


def theirs(message):
    try:
        read = dns.message.from_wire(message, one_rr_per_rrset=True)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    if not read.flags & dns.flags.QR or read.opcode() or read.flags & dns.flags.TC or read.rcode() or len(read.question) != 1:
        return None
    asked = read.question[0]
    if asked.rdclass != dns.rdataclass.IN:
        return None
    owner, found, met = asked.name, [], set()
    links = {}
    for rrset in read.answer:
        if rrset.rdclass == dns.rdataclass.IN and rrset.rdtype == dns.rdatatype.CNAME:
            links.setdefault(rrset.name, set()).update(data.target for data in rrset)
    while owner in links:
        if owner in met or len(links[owner]) > 1:
            return []
        met.add(owner)
        owner = next(iter(links[owner]))
    for rrset in read.answer:
        if rrset.name != owner or rrset.rdclass != dns.rdataclass.IN:
            continue
        for data in rrset:
            if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA) and asked.rdtype in (rrset.rdtype, dns.rdatatype.ANY):
                found.append(data.to_wire().hex() if hasattr(data, "to_wire") else "")
    return found


def main():
    learned = valid = too_many = others = tried = 0
    corpus = []
    if len(sys.argv) > 2:
        corpus = [bytes.fromhex(line.split("\t")[1]) for line in open(sys.argv[2]) if not line.startswith("#")]
    good = [honest() for _ in range(20000)]
    for message in good:
        have, want = ours(message), theirs(message)
        valid += len(want)
        learned += len([address for address in want if address in have])
    for message in corpus + [damaged(m) for m in good + corpus for _ in range(4)]:
        tried += 1
        have = ours(message)
        if not have:
            continue
        want = theirs(message)
        if want is None:
            others += 1
            try:
                want = theirs(neutral(message))
            except IndexError:
                want = None
        if want is None or any(address not in want for address in have):
            too_many += 1
            print("too many:", message.hex(), have, want)
    print(f"{len(good)} honest answers: {learned} of {valid} addresses learned; {tried} others: {too_many} with an address too many"
          f" ({others} with bad data in a record that is skipped)")
    return too_many != 0 or learned * 1000 < valid * 999


sys.exit(main())
