//! Everything that the kernel programs and the two tools must agree on: the records of an image, the
//! values of the pinned maps, constants and counters. Declared once here; `c_header` prints the C side.
//!
//! INVARIANT: records hold unsigned integers and arrays of them only, no implicit padding, every field at
//! its stated offset. Multi-byte integers are little-endian; addresses are 16 bytes in network order, IPv4
//! as `::ffff:a.b.c.d`.
#![allow(unsafe_code)]

#[cfg(not(target_endian = "little"))]
compile_error!("an image is little-endian and is read in place");

/// A record that may be read from and written as plain bytes.
pub trait Record: Copy + Sized {
    /// The layout, for the C header and the fingerprint.
    const LAYOUT: Layout;
    /// The record as it lies in memory.
    fn bytes(&self) -> &[u8];
    /// Reads one record; `None` unless `bytes` has exactly its size.
    fn read(bytes: &[u8]) -> Option<Self>;
    /// All bytes zero.
    fn zeroed() -> Self;
}

/// Shape of one record.
pub struct Layout {
    /// C name without the `fqdn_` prefix.
    pub name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// What it is for.
    pub doc: &'static str,
    /// The fields in order.
    pub fields: &'static [Field],
}

/// One field of a record.
pub struct Field {
    /// Name, the same in Rust and C.
    pub name: &'static str,
    /// Rust type as written.
    pub ty: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// What it holds.
    pub doc: &'static str,
}

/// A lock of the kernel; user space leaves it zero.
pub type SpinLock = u32;

macro_rules! records {
    ($( #[doc = $doc:literal] $name:ident $cname:literal $size:literal {
        $( #[doc = $fdoc:literal] $off:literal $field:ident : $ty:ty ),* $(,)?
    } )*) => {
        $(
            #[doc = $doc]
            #[repr(C)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name { $( #[doc = $fdoc] pub $field: $ty ),* }
            const _: () = {
                assert!(size_of::<$name>() == $size, "stated size");
                $( assert!(std::mem::offset_of!($name, $field) == $off, "stated offset"); )*
                assert!(0 $( + size_of::<$ty>() )* == $size, "hidden padding");
            };
            impl Record for $name {
                const LAYOUT: Layout = Layout {
                    name: $cname, size: $size, doc: $doc,
                    fields: &[ $( Field { name: stringify!($field), ty: stringify!($ty), offset: $off, doc: $fdoc } ),* ],
                };
                fn bytes(&self) -> &[u8] {
                    // SAFETY: repr(C), integers only, and the assertions above rule out padding.
                    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(self).cast::<u8>(), $size) }
                }
                fn read(bytes: &[u8]) -> Option<Self> {
                    if bytes.len() != $size { return None; }
                    // SAFETY: the length is checked, any bit pattern is a value, the read is unaligned.
                    Some(unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast::<$name>()) })
                }
                fn zeroed() -> Self {
                    // SAFETY: integers only, for which zero bytes are a value.
                    unsafe { std::mem::zeroed() }
                }
            }
        )*
        /// Every record, in the order of the C header.
        pub const LAYOUTS: &[Layout] = &[ $( <$name as Record>::LAYOUT ),* ];
    };
}

macro_rules! constants {
    ($( #[doc = $doc:literal] $name:ident : $ty:ty = $value:expr; )*) => {
        $( #[doc = $doc] pub const $name: $ty = $value; )*
        /// Every constant: name, value, meaning.
        pub const CONSTANTS: &[(&str, u64, &str)] = &[ $( (stringify!($name), $name as u64, $doc) ),* ];
    };
}

macro_rules! reasons {
    ($( $name:ident $text:literal $doc:literal; )*) => {
        /// Why a packet, an answer or a bind met what it met: the closed list behind `stats`. In index order: C name, text of `status`,
        /// meaning.
        pub const REASONS: &[(&str, &str, &str)] = &[ $( (stringify!($name), $text, $doc) ),* ];
    };
}

constants! {
    /// First bytes of an image: "FQDNIMG1" read as a little-endian integer.
    MAGIC: u64 = u64::from_le_bytes(*b"FQDNIMG1");
    /// Version of the image format.
    VERSION: u32 = 1;
    /// Bytes of a block, one cache line: the value size of an image's array map.
    BLOCK: u32 = 64;
    /// Blocks before the first section.
    HEAD_BLOCKS: u32 = 5;
    /// Longest name on the wire, root label included (RFC 1035 section 3.1).
    NAME_MAX: u32 = 255;
    /// Room for a name and for the 8-byte steps that run over its end.
    NAME_ROOM: u32 = 256;
    /// Longest label (RFC 1035 section 3.1).
    LABEL_MAX: u32 = 63;
    /// Most labels in a name of 255 octets.
    LABELS_MAX: u32 = 127;
    /// Longest label kept inside an edge; a longer one lies in the label blocks.
    LABEL_INLINE: u32 = 19;
    /// First byte of the pseudo-label that stands for "this set of globs matched"; no wire label has it.
    GLOB_LABEL: u32 = 0xff;
    /// In `next`: the state's edges hash from the state's id, not from the path that led here.
    NEXT_RESEED: u32 = 0x8000_0000;
    /// In `next`: no label has an edge of its own at that state, only its wildcards count.
    NEXT_BARE: u32 = 0x4000_0000;
    /// In `next`: the state.
    NEXT_STATE: u32 = 0x3fff_ffff;
    /// Image flag: some selector is the bare `*`.
    IMAGE_STAR: u32 = 1;
    /// Image flag: every name on a CNAME chain is credited, not only the question.
    IMAGE_CHAIN: u32 = 2;
    /// Image flag: some grant denies.
    IMAGE_DENY: u32 = 4;
    /// Image flag: messages of another opcode than QUERY may go to resolvers too.
    IMAGE_UPDATES: u32 = 8;
    /// Image flags: how a query is refused, 0 = no answer, 1 = NXDOMAIN, 2 = NODATA, 3 = REFUSED.
    IMAGE_REFUSE_SHIFT: u32 = 8;
    /// Most layers of the automaton.
    LAYERS_MAX: u32 = 4;
    /// Kind of a selector: names.
    KIND_NAMES: u32 = 0;
    /// Kind of a selector: addresses.
    KIND_ADDRESSES: u32 = 1;
    /// Kind of a selector: addresses, but for this host's own.
    KIND_ELSEWHERE: u32 = 2;
    /// Kind of a selector: addresses, but only this host's own.
    KIND_HERE: u32 = 3;
    /// Selector of rules without names: any name that may be asked.
    SELECTOR_ANY: u32 = 1;
    /// Selector `*`: any name made of the letters that a pattern may hold.
    SELECTOR_STAR: u32 = 2;
    /// Selector of addresses that no answer may teach.
    SELECTOR_NEVER: u32 = 3;
    /// Selector whose grants say which servers may be asked anything at all: every other grant to ask, without its name.
    SELECTOR_SERVER: u32 = 4;
    /// Subject that every bound workload has.
    SUBJECT_ALL: u32 = 0;
    /// Subject flag: some policy of it asks for default deny.
    SUBJECT_DEFAULT_DENY: u32 = 1;
    /// Subject flag: some grant of it denies.
    SUBJECT_DENIES: u32 = 2;
    /// Port set of rules without ports: every protocol and port.
    PORTS_ANY: u32 = 0;
    /// In `servers` of a grant: the rest is the selector of the server's address.
    SERVERS_CIDR: u32 = 0x8000_0000;
    /// In `servers` of a grant, alone: these addresses are denied.
    SERVERS_DENY: u32 = 0x4000_0000;
    /// Most resolver entries; the rest of `servers` is a bit for each.
    RESOLVER_ENTRIES: u32 = 24;
    /// Most DNS ports of an image.
    DNS_PORTS: u32 = 8;
    /// Most subjects of a workload.
    SUBJECTS_MAX: u32 = 64;
    /// Most selectors of a class, and of a class and a subject's grants together.
    CLASS_MAX: u32 = 1024;
    /// Binding flag: a subject of it asks for default deny.
    BINDING_ENFORCED: u32 = 1;
    /// Binding flag: a subject of it denies something.
    BINDING_DENIES: u32 = 2;
    /// Mode of a workload: refused packets are dropped.
    MODE_ENFORCE: u32 = 0;
    /// Mode of a workload: refused packets are counted and passed.
    MODE_AUDIT: u32 = 1;
    /// Mode of a workload: its cgroup was removed. What is left of it is denied.
    MODE_GONE: u32 = 2;
    /// Workload flag: it is a resolver itself, and may answer as one.
    WORKLOAD_SERVES: u32 = 1;
    /// Workload flag: it was bound although packet sockets were open, which lead round the policy.
    WORKLOAD_PACKETS: u32 = 2;
    /// Names remembered for an address of a workload.
    LEARNED_NAMES: u32 = 8;
    /// Deepest cgroup that can be bound, counted from the cgroup2 root.
    CGROUP_DEPTH: u32 = 16;
    /// Longest DNS message, over TCP by its 16-bit length (RFC 1035 section 4.2.2).
    MESSAGE_MAX: u32 = 65_536;
    /// Longest query that is read: header, name, type, class and 4,096 bytes of OPT.
    QUERY_MAX: u32 = 4_400;
    /// Most records of an answer that are read; more teach nothing.
    RECORDS_MAX: u32 = 4_096;
    /// Most addresses of an answer that are learned, the first ones.
    ADDRESSES_MAX: u32 = 512;
    /// Pages of a workload's questions that wait for their answers.
    PENDING_PAGES: u32 = 32;
    /// Octets of a name that may stand with the address that it led to.
    CARRIED_MAX: u32 = 96;
    /// Questions of a page; where they are taken, the next one takes the place of an older one of its own workload.
    PENDING_SLOTS: u32 = 8;
    /// Places of a page among which a question chooses.
    PENDING_WAYS: u32 = 4;
    /// Most addresses learned for one workload at a time.
    LEARNED_QUOTA: u32 = 4_096;
    /// Elements of `learned`.
    LEARNED_MOST: u32 = 65_536;
    /// Most of them that a workload has for itself: half of all, divided by the number of workloads.
    RESERVED: u32 = 256;
    /// Places where a workload's addresses are written down: one for each that it may have, or may have without a rule.
    SLOTS: u32 = 4_352;
    /// A workload that would have fewer for itself is not bound.
    RESERVED_LEAST: u32 = 16;
    /// Most addresses learned for one workload that no rule lets it reach.
    IDLE_QUOTA: u32 = 256;
    /// Counts of addresses by name that a workload has; a name may hold a quarter of the share, and half with what came one at a time.
    OWNED_NAMES: u32 = 4_096;
    /// Most names kept on behalf of one workload at a time; of `names`, which has as many elements as `learned`, it has as many for itself as there.
    NAMES_QUOTA: u32 = 4_096;
    /// Most items in the sweep's queue of what gave way and was not visited yet, divided by the number of workloads. All that is there has as many.
    ITEMS_MOST: u32 = 131_072;
    /// Most TCP connections of one workload to DNS ports at a time.
    STREAMS_QUOTA: u32 = 256;
    /// Most answers over TCP of one workload that are there in part.
    PARTIALS_QUOTA: u32 = 4;
    /// Milliseconds for which a question waits for its answer.
    PENDING_MS: u32 = 10_000;
    /// Milliseconds for which a peer that sent to us may be answered.
    PEER_MS: u32 = 60_000;
    /// Peers of a workload that may be answered over UDP, a power of two.
    PEERS: u32 = 2_048;
    /// Places among which a peer chooses; the one heard longest ago gives way.
    PEER_WAYS: u32 = 4;
    /// Milliseconds after which a UDP flow whose peer is silent ends with its name's time.
    SILENT_MS: u32 = 30_000;
    /// Socket flag: accepted from a peer outside, replies are not judged.
    SOCK_ACCEPTED: u32 = 1;
    /// Socket flag: made after the programs were attached, by whom is known.
    SOCK_CREATED: u32 = 2;
    /// Socket flag: it was connected by its owner, so that it speaks first.
    SOCK_CONNECTED: u32 = 4;
    /// Socket flag: a TCP connection to a DNS port, whose every byte is judged.
    SOCK_STREAM: u32 = 8;
    /// Socket flag: a datagram socket that a peer from outside has sent to.
    SOCK_HEARD: u32 = 16;
    /// Socket flag: more questions waited at once than find a place in the socket's own page.
    SOCK_BUSY: u32 = 32;
    /// Socket flag: a TCP connection to a DNS port on which bytes passed that nobody judged.
    SOCK_UNJUDGED: u32 = 64;
    /// Kind of a device: Ethernet, its packets can be turned round.
    DEVICE_ETHERNET: u32 = 1;
    /// Kind of a device: loopback.
    DEVICE_LOOPBACK: u32 = 2;
    /// Most refused queries that may be on their way from egress to a device's program; more are dropped.
    DOUBT_MOST: u32 = 4;
    /// Milliseconds after which that means that another program lets them pass by ours.
    DOUBT_MS: u32 = 100;
    /// Bits of half of what a workload has spoken to, a power of two.
    SPOKEN_BITS: u32 = 65_536;
    /// Milliseconds after which the older half is forgotten.
    SPOKEN_MS: u32 = 600_000;
    /// Places for what was learned lately, a power of two.
    RECENT: u32 = 1_024;
    /// Most of them that one run of the sweep's timer settles.
    SETTLE_SLICE: u32 = 192;
    /// Milliseconds between two runs while there is something to settle: every other one does.
    SETTLE_MS: u32 = 10;
    /// Most items a sweep visits in one run of the timer.
    SWEEP_SLICE: u32 = 192;
    /// Items in the sweep's queue from which on it hurries.
    SWEEP_CROWDED: u32 = 131_072;
    /// Microseconds between two runs of the sweep, once round its queue after a workload has ended.
    HURRY_US: u32 = 500;
    /// Milliseconds between two runs of the sweep, while there is nothing to settle.
    SWEEP_MS: u32 = 50;
}

reasons! {
    Allowed "allowed" "packet of a bound workload allowed by the policy";
    AllowedReply "allowed-reply" "packet of a server to a peer that came in";
    AllowedLocal "allowed-local" "packet on loopback of a network namespace that is not the host's";
    AllowedNeighbour "allowed-neighbour" "IPv6 neighbour discovery or multicast listener report";
    AllowedServer "allowed-server" "answer of a workload that is bound as a resolver";
    AllowedUnenforced "allowed-unenforced" "workload selected by no policy that denies by default";
    AllowedAudit "allowed-audit" "refused by the policy, passed because the workload is in audit mode";
    QueryAllowed "query-allowed" "DNS query for a name that may be asked";
    QueryOther "query-other" "DNS message of another opcode than QUERY, to a server whose port a rule opens without names";
    QueryRefused "query-refused" "DNS query for a name that may not be asked";
    QueryMalformed "query-malformed" "DNS query that is not one well-formed question";
    QuerySegmented "query-segmented" "several datagrams in one send to a DNS port";
    QueryTcp "query-tcp" "TCP to a DNS port that no rule opens, or with bytes that were not judged";
    QueryPipelined "query-pipelined" "refused DNS query over TCP with others behind it in the same send: the send fails";
    QueryPendingFull "query-pending-full" "question that took the place of an older one, whose answer will not be learned";
    RefusalAnswered "refusal-answered" "refused DNS query that was answered on the spot";
    RefusalSilent "refusal-silent" "refused DNS query without an answer: none is wanted, or the device has no program";
    RefusalUncovered "refusal-uncovered" "refused DNS query without an answer: its device has no program of ours";
    RefusalPassedBy "refusal-passed-by" "refused DNS query without an answer: another program of its device lets such pass by ours";
    RefusalUnread "refusal-unread" "refused DNS query over TCP without an answer: sixteen earlier ones lie unread on its socket";
    StreamUncovered "stream-uncovered" "TCP connection to a DNS port whose refused queries get no answer, but fail";
    StreamsFull "streams-full" "TCP connection to a DNS port beyond the workload's share: nothing may be sent on it";
    SegmentLate "segment-late" "segment of an answer over TCP that came before the one it follows: to be sent again";
    PacketSocket "packet-socket" "packet of a packet socket or of AF_XDP";
    RawTransport "raw-transport" "UDP or TCP packet that a raw socket made: it may bear any source";
    AddressRefused "address-refused" "packet to an address or port that the policy does not allow";
    ConnectRefused "connect-refused" "connect or sendmsg refused before any packet";
    HeaderMalformed "header-malformed" "packet whose headers cannot be read";
    HeaderRouting "header-routing" "packet with a routing header or an IPv4 source route";
    HeaderFragment "header-fragment" "fragment made by the workload itself";
    RouteForced "route-forced" "packet to a DNS port, or of a raw socket, whose socket asked for another neighbour than the routing table names";
    ListenerData "listener-data" "packet of a listening socket that is no SYN-ACK or RST";
    ForgedAnswer "forged-answer" "packet that poses as a resolver's answer";
    NeighbourForged "neighbour-forged" "neighbour discovery from a workload's own socket, or for another link";
    OptionRefused "option-refused" "socket option that leads round the policy";
    ImageMissing "image-missing" "denied because no image is published";
    BindingMissing "binding-missing" "denied because the workload has no binding for the published image";
    ScratchBusy "scratch-busy" "denied because every working buffer of this CPU was taken";
    SocketStateMissing "socket-state-missing" "socket without stored state, judged the slow way";
    AnswerLearned "answer-learned" "answer whose addresses were learned";
    AddressLearned "address-learned" "address learned";
    AnswerUnsolicited "answer-unsolicited" "answer without a pending question: not learned";
    AnswerMismatch "answer-mismatch" "answer to another question: not learned";
    AnswerMalformed "answer-malformed" "answer that is not well formed: not learned";
    AnswerTruncated "answer-truncated" "answer with TC that taught nothing";
    AnswerError "answer-error" "answer with another code than NOERROR: not learned";
    AnswerTooLong "answer-too-long" "answer beyond the bounds of size, records or addresses: not learned";
    AnswerLocal "answer-local" "answer that came over loopback: not learned";
    AnswerServer "answer-server" "answer of a server outside the resolver set: not learned";
    AnswerChain "answer-chain" "answer whose CNAMEs contradict each other, go round, or are too many out of order: not learned";
    AnswerMore "answer-more" "answer with more addresses than are learned: the first 512 were";
    AnswerNamespace "answer-namespace" "answer to a socket whose network namespace is not known: not learned";
    AnswerAudit "answer-audit" "answer to a question that passed in audit mode alone: not learned";
    AnswerEmpty "answer-empty" "answer without an address of the question's chain";
    AddressNever "address-never" "address that no answer may teach: not learned";
    LearnedFull "learned-full" "no room for another address in the workload's share: not learned";
    LearnedDisplaced "learned-displaced" "learned address that gave way to a new one of its own workload, whose share is full";
    NamesFull "names-full" "no room for another name in the workload's share, or another name has its hash: not learned";
    WorkloadGone "workload-gone" "workload whose cgroup was removed: what it had is freed, what is left of it denied";
    SweptLearned "swept-learned" "learned address removed after its time";
    SweepLost "sweep-lost" "entry that the sweep could not queue";
}

records! {
    /// Block 0 of an image.
    ImageHead "image_head" 64 {
        /// `MAGIC`.
        0 magic: u64,
        /// First 8 bytes of the digest; zero while the digest is taken.
        8 generation: u64,
        /// Fingerprint of this file's records and constants.
        16 abi: u64,
        /// `VERSION`.
        24 version: u32,
        /// Blocks of the whole image.
        28 blocks: u32,
        /// `IMAGE_*`.
        32 flags: u32,
        /// Least seconds an address stays learned.
        36 ttl_min: u32,
        /// Most seconds an address stays learned.
        40 ttl_max: u32,
        /// Seconds added to every expiry.
        44 ttl_grace: u32,
        /// Ports whose packets are DNS, ascending, zero where unused.
        48 dns_ports: [u16; 8],
    }
    /// Block 1: where the name automaton lies. Positions are block numbers.
    ImageWalk "image_walk" 64 {
        /// Seed of the edge hash, derived from the image's content.
        0 seed: u64,
        /// Multipliers of the edge hash.
        8 k: [u64; 3],
        /// First block of the trie's buckets.
        32 trie: u32,
        /// Buckets of two edges.
        36 buckets: u32,
        /// First block of the wildcard states.
        40 depth: u32,
        /// Wildcard states; they have the ids 1 to this.
        44 states: u32,
        /// First block of the glob words.
        48 globs: u32,
        /// Glob words of 8 bytes.
        52 glob_words: u32,
        /// First block of the labels over `LABEL_INLINE`.
        56 labels: u32,
        /// Long labels, a block each.
        60 long_labels: u32,
    }
    /// Block 2: where the rows from class to verdict lie.
    ImageRows "image_rows" 64 {
        /// First block of the members of classes with several selectors.
        0 members: u32,
        /// Number of members.
        4 members_n: u32,
        /// First block of those classes.
        8 classes: u32,
        /// Their number; class ids 1 to `selectors_n` are single selectors, the ids after them these.
        12 classes_n: u32,
        /// First block of the selectors.
        16 selectors: u32,
        /// Number of selectors; their ids begin with 1.
        20 selectors_n: u32,
        /// First block of the grants.
        24 grants: u32,
        /// Number of grants.
        28 grants_n: u32,
        /// First block of the port sets.
        32 sets: u32,
        /// Number of port sets.
        36 sets_n: u32,
        /// First block of the port ranges.
        40 ranges: u32,
        /// Number of port ranges.
        44 ranges_n: u32,
        /// First block of the address intervals.
        48 cidrs: u32,
        /// Number of address intervals.
        52 cidrs_n: u32,
        /// Layers of the automaton, 1 to `LAYERS_MAX`; the states 1 to this are their roots.
        56 layers: u32,
        /// Zero.
        60 pad: u32,
    }
    /// Block 3: where the tables lie that only user space reads.
    ImageTexts "image_texts" 64 {
        /// First block of the subjects.
        0 subjects: u32,
        /// Number of subjects; subject 0 is every workload.
        4 subjects_n: u32,
        /// First block of the policies.
        8 policies: u32,
        /// Number of policies.
        12 policies_n: u32,
        /// First block of the profile's resolver addresses.
        16 resolvers: u32,
        /// Their number.
        20 resolvers_n: u32,
        /// First block of the texts.
        24 texts: u32,
        /// Bytes of the texts.
        28 text_bytes: u32,
        /// Byte position of the profile's text among the texts.
        32 profile: u32,
        /// Its length in bytes.
        36 profile_len: u32,
        /// Distinct name patterns, for `inspect`.
        40 patterns: u32,
        /// Zero.
        44 pad: [u32; 5],
    }
    /// Block 4: which addresses may be learned without a look at the intervals, a bit for each first octet.
    ImageLearnable "image_learnable" 64 {
        /// Of IPv4 addresses: set = none that begins so is of `SELECTOR_NEVER`.
        0 v4: [u64; 4],
        /// Of IPv6 addresses.
        32 v6: [u64; 4],
    }
    /// One edge of the trie: a label that leads from one state to the next.
    Edge "edge" 32 {
        /// Length byte and first 7 bytes of the label, zero-padded.
        0 word0: u64,
        /// Bytes 8 to 15 of the label; for a long label a hash of all of it.
        8 word1: u64,
        /// Bytes 16 to 19 of the label; for a long label its block number among the labels.
        16 word2: u32,
        /// State the edge leaves; 0 = empty slot.
        20 parent: u32,
        /// Class of a name that ends here.
        24 class: u32,
        /// State the edge reaches, 0 = none; `NEXT_RESEED`, `NEXT_BARE`.
        28 next: u32,
    }
    /// What a state does with labels that have no edge of their own: the wildcard-depth data.
    State "state" 16 {
        /// Class of a name that ends with any label here.
        0 class: u32,
        /// State after any label, 0 = none; always reseeded; `NEXT_BARE`.
        4 next: u32,
        /// Position of the globs among the glob words plus 1; 0 = none.
        8 globs: u32,
        /// 1 = any label is accepted, 0 = only those that a glob accepts.
        12 star: u32,
    }
    /// A matchName, matchPattern or CIDR that some rule names.
    Selector "selector" 16 {
        /// Its first grant.
        0 grants: u32,
        /// Number of its grants, ascending by subject.
        4 grants_n: u32,
        /// Position of its text.
        8 text: u32,
        /// Length of its text.
        12 text_len: u16,
        /// `KIND_*`.
        14 kind: u16,
    }
    /// One subject may use one selector.
    Grant "grant" 16 {
        /// Who.
        0 subject: u32,
        /// Port set.
        4 ports: u32,
        /// 0 = may reach; `SERVERS_DENY` = may not; else may ask these servers: entries' bits, or `SERVERS_CIDR` and a selector.
        8 servers: u32,
        /// Policy that says so.
        12 policy: u32,
    }
    /// A run of records in another table.
    Span "span" 8 {
        /// First record.
        0 first: u32,
        /// Number of records.
        4 count: u32,
    }
    /// Ports of one protocol.
    PortRange "port_range" 8 {
        /// IP protocol number.
        0 proto: u16,
        /// First port.
        2 low: u16,
        /// Last port.
        4 high: u16,
        /// Zero.
        6 pad: u16,
    }
    /// Addresses from here to the next interval.
    Interval "interval" 32 {
        /// Upper 64 bits of the first address.
        0 high: u64,
        /// Lower 64 bits of the first address.
        8 low: u64,
        /// Class of these addresses.
        16 class: u32,
        /// Zero.
        20 pad: [u32; 3],
    }
    /// A text of a subject or a policy.
    Text "text" 8 {
        /// Position among the texts.
        0 at: u32,
        /// Length in bytes.
        4 len: u16,
        /// `SUBJECT_*` for subjects, else zero.
        6 flags: u16,
    }
    /// An address of a resolver entry, as the profile gives it.
    Resolver "resolver" 32 {
        /// Address.
        0 addr: [u8; 16],
        /// Prefix length over the 16 bytes.
        16 prefix: u32,
        /// Number of the entry.
        20 entry: u32,
        /// Zero.
        24 pad: [u32; 2],
    }
    /// Value of `node`: what all programs share.
    Node "node" 72 {
        /// Changed after every bind, unbind, relabel and change of mode.
        0 epoch: u64,
        /// Key of the name hash, random at each load.
        8 secret: [u64; 2],
        /// Cookie of the host's network namespace.
        24 host_netns: u64,
        /// Number of workloads; none = every hook returns at once.
        32 workloads: u32,
        /// 1 once the sweep runs.
        36 sweeping: u32,
        /// Mark of refused queries on their way to the device's program, random at each load; the low two bits say how.
        40 refuse_mark: u32,
        /// 1 = a device of some namespace is in doubt: whether its program meets what it should.
        44 doubt: u32,
        /// Longest slice of the sweep so far, nanoseconds.
        48 sweep_longest: u64,
        /// Nanoseconds by which CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC, as the loader and the sweep last found it.
        56 suspended: u64,
        /// Mark of what a resolver outside every workload says over loopback, random at each load.
        64 vouch_mark: u32,
        /// Zero.
        68 pad: u32,
    }
    /// Value of `workloads`, by cgroup id: what `bind` was told.
    Workload "workload" 1024 {
        /// `MODE_*`.
        0 mode: u32,
        /// Length of the namespace, the first part of the text.
        4 namespace_len: u16,
        /// Length of the labels `k=v,...`, the part after it.
        6 labels_len: u16,
        /// Length of the cgroup's path, the last part.
        8 path_len: u16,
        /// Zero.
        10 pad: u16,
        /// `WORKLOAD_*`.
        12 flags: u32,
        /// Namespace, labels, path.
        16 text: [u8; 1008],
    }
    /// Key of `bindings`.
    BindingKey "binding_key" 16 {
        /// Cgroup id.
        0 cgroup: u64,
        /// Image generation.
        8 generation: u64,
    }
    /// Value of `bindings`: the subjects that select a workload.
    Binding "binding" 1552 {
        /// `BINDING_*`.
        0 flags: u32,
        /// Number of subjects.
        4 count: u32,
        /// Epoch in which the subjects became these.
        8 version: u64,
        /// The subjects, ascending, `SUBJECT_ALL` first.
        16 subjects: [u32; 64],
        /// Questions that were allowed, each in four words: the server's address, what counted, a seal. The programs' own.
        272 asked: [u64; 32],
        /// Addresses that were learned, a bit each by a hash: a guess at which are there. The programs' own.
        528 learned: [u64; 128],
    }
    /// Key of `resolvers`, an LPM trie.
    ResolverKey "resolver_key" 28 {
        /// 64 bits of generation and those of the address.
        0 prefixlen: u32,
        /// Image generation, little-endian.
        4 generation: [u8; 8],
        /// Address.
        12 addr: [u8; 16],
    }
    /// Value of `resolvers`.
    ResolverValue "resolver_value" 8 {
        /// A bit for each resolver entry that the address belongs to.
        0 entries: u32,
        /// Zero.
        4 pad: u32,
    }
    /// Which answer a question waits for.
    Question "question" 32 {
        /// Socket cookie.
        0 cookie: u64,
        /// Server asked.
        8 server: [u8; 16],
        /// DNS message id, network order.
        24 id: u16,
        /// Server port.
        26 port: u16,
        /// IP protocol.
        28 proto: u32,
    }
    /// Value of `names`, by keyed hash of the name.
    Name "name" 280 {
        /// Latest end of an address learned for it, CLOCK_BOOTTIME nanoseconds.
        0 until: u64,
        /// Workload whose share it takes.
        8 owner: u64,
        /// Length on the wire.
        16 len: u32,
        /// In `names`: whose room it takes, in the programs' own bits; from bit 8 on, how many addresses are held that were learned for it first and counted here.
        20 share: u32,
        /// Name on the wire, lower case, zero-padded to 8 bytes; what is behind that means nothing.
        24 bytes: [u8; 256],
    }
    /// A question on its way.
    Pending "pending" 344 {
        /// 1 while one CPU reads or writes it.
        0 busy: u32,
        /// As in `learned`.
        4 plain: u16,
        /// 1 = the server was a resolver under that image.
        6 resolver: u16,
        /// When it was asked, CLOCK_BOOTTIME nanoseconds; 0 = the place is free.
        8 time: u64,
        /// What its answer must fit.
        16 asked: Question,
        /// Image that allowed the question.
        48 generation: u64,
        /// Class of the name in that image.
        56 class: u32,
        /// Query type.
        60 qtype: u16,
        /// 1 = it passed in audit mode alone: its answer teaches nothing.
        62 mute: u16,
        /// Name asked for, as it will stand in `names`.
        64 name: Name,
    }
    /// Key of `pending`, chosen by a hash of the question.
    PendingKey "pending_key" 16 {
        /// Workload.
        0 cgroup: u64,
        /// Below `PENDING_PAGES`.
        8 page: u64,
    }
    /// Value of `pending`, made when a workload is bound.
    PendingPage "pending_page" 2752 {
        /// The questions.
        0 slots: [Pending; 8],
    }
    /// Value of `usage`, by workload: what it takes of the maps that all share.
    Usage "usage" 80 {
        /// Addresses in `learned`, and what is on its way there.
        0 learned: u64,
        /// Names in `names`.
        8 names: u64,
        /// Connections in `streams`.
        16 streams: u64,
        /// Answers in `partials`.
        24 partials: u64,
        /// Until when a question may stand outside the places that its hash gives it, CLOCK_BOOTTIME nanoseconds.
        32 spilled: u64,
        /// Of the addresses in `learned`, those that no rule lets it reach; they are not counted above.
        40 idle: u64,
        /// Of the others, those that take the room that is its own, at most `RESERVED`.
        48 own: u64,
        /// Of the names, those that take the room that is its own.
        56 own_names: u64,
        /// Items in the sweep's queue.
        64 items: u64,
        /// Until when names are short, CLOCK_BOOTTIME nanoseconds: those that no address is held for do not stay.
        72 short_of: u64,
    }
    /// An address that a workload has learned.
    OwnedKey "owned_key" 24 {
        /// Address.
        0 addr: [u8; 16],
        /// Cookie of the network namespace.
        16 netns: u64,
    }
    /// Value of `owned`, by workload, made when it is bound: what may give way when its share is full.
    Owned "owned" 155656 {
        /// Where a free place is looked for next.
        0 next: u32,
        /// Zero.
        4 pad: u32,
        /// Addresses of the names that have this hash.
        8 by_name: [u32; 4096],
        /// Its addresses.
        16392 keys: [OwnedKey; 4352],
        /// What is drawn by, of each: when it was used at least, for which name, and whether a rule reaches it; 0 = the place is free. The programs' own.
        120840 marks: [u64; 4352],
    }
    /// One direction of a connection to a DNS port: how far its bytes have been met.
    Half "half" 16 {
        /// Sequence number of the next byte.
        0 next: u32,
        /// Bytes of the present message that have come, its length included.
        4 have: u32,
        /// The present message's length.
        8 length: u32,
        /// 1 = a part of the present message was not kept.
        12 lost: u32,
    }
    /// Value of `stream_owners`, by socket cookie: a TCP connection to a DNS port.
    Stream "stream" 72 {
        /// Workload that opened it.
        0 cgroup: u64,
        /// Server that it asks, as the socket knows it.
        8 server: [u8; 16],
        /// Its port.
        24 port: u32,
        /// 1 while one CPU reads an answer's segment.
        28 busy: u32,
        /// What the workload sends.
        32 out: [u32; 4],
        /// What the server sends; its `lost` also says that nothing more teaches.
        48 back: [u32; 4],
        /// As in the key: an element that was removed and taken anew is noticed.
        64 cookie: u64,
    }
    /// Key of `partials`.
    PartialKey "partial_key" 16 {
        /// Socket cookie.
        0 cookie: u64,
        /// 0 = questions, 1 = answers.
        8 back: u64,
    }
    /// Key of `devices`.
    DeviceKey "device_key" 16 {
        /// Cookie of the network namespace.
        0 netns: u64,
        /// Index of the device.
        8 ifindex: u32,
        /// Zero.
        12 pad: u32,
    }
    /// Value of `devices`: a device whose egress has our program.
    Device "device" 24 {
        /// `DEVICE_*`.
        0 kind: u32,
        /// 1 = what egress marked was not met for `DOUBT_MS`: nothing is marked until a verb has looked, or an allowed query was met.
        4 passed_by: u32,
        /// Refused queries that egress marked for the program there, less those that it met.
        8 waiting: u64,
        /// Since when more than `DOUBT_MOST` are on their way, CLOCK_BOOTTIME nanoseconds; 0 = they are not.
        16 since: u64,
    }
    /// Key of `learned`.
    LearnedKey "learned_key" 32 {
        /// Workload.
        0 cgroup: u64,
        /// Address.
        8 addr: [u8; 16],
        /// Cookie of the network namespace: what a namespace of the workload's own making teaches counts there alone.
        24 netns: u64,
    }
    /// One name that an address was learned for.
    LearnedName "learned_name" 32 {
        /// Key in `names`; 0 = free.
        0 name: u64,
        /// Image that `class` belongs to.
        8 generation: u64,
        /// End, CLOCK_BOOTTIME nanoseconds.
        16 expiry: u64,
        /// Class of the name.
        24 class: u32,
        /// 1 = all its bytes are plain, so that `SELECTOR_STAR` matches; known if the image has that selector.
        28 plain: u8,
        /// Bit 0 = under that image no rule is needed to learn the address: it is none of `SELECTOR_NEVER`. The others are the programs' own.
        29 learnable: u8,
        /// Minutes from the answer to the end, rounded up; 0 = not known.
        30 held: u16,
    }
    /// Value of `learned`. The key stands in it again: an element that was freed and taken anew is noticed.
    Learned "learned" 440 {
        /// Guards what is below.
        0 lock: SpinLock,
        /// Zero.
        4 pad: u32,
        /// As in the key; 0 = the sweep has ended it.
        8 cgroup: u64,
        /// As in the key.
        16 addr: [u8; 16],
        /// The names.
        32 names: [LearnedName; 8],
        /// As in the key.
        288 netns: u64,
        /// Key of the name that stands below, and not in `names`: the only one that led here when the address was new.
        296 carried: u64,
        /// Its length on the wire; 0 = none.
        304 carried_len: u32,
        /// Whose room it takes, in the programs' own bits.
        308 share: u16,
        /// Where it is written down in `owned`.
        310 slot: u16,
        /// It, as in `names`.
        312 carried_bytes: [u8; 96],
        /// When the workload last looked for it, CLOCK_BOOTTIME nanoseconds.
        408 used: u64,
        /// Latest end of a name of it.
        416 until: u64,
        /// The name that it was learned for.
        424 first: u64,
        /// When it was last learned, within 4 ms.
        432 born: u64,
    }
    /// Value of `recent`: an address that was learned lately, and is not in `learned` yet, or not for this name.
    Recent "recent" 168 {
        /// Guards what is below.
        0 lock: SpinLock,
        /// Length of the name on the wire.
        4 len: u16,
        /// Where it is written down in `owned`.
        6 slot: u16,
        /// Workload; 0 = the place is free.
        8 cgroup: u64,
        /// Address.
        16 addr: [u8; 16],
        /// Cookie of the network namespace.
        32 netns: u64,
        /// For what name.
        40 name: LearnedName,
        /// Its text, as in `names`.
        72 bytes: [u8; 96],
    }
    /// Storage of a socket. A cache, but for the flags; absent = judge the slow way and grant nothing. What every packet looks at stands first, in one cache line.
    Sock "sock" 168 {
        /// Odd while one CPU writes the cache below.
        0 seq: u32,
        /// `SOCK_*`.
        4 flags: u32,
        /// Cookie of the network namespace it was made in; 0 = unknown.
        8 netns: u64,
        /// Epoch of `workload`.
        16 epoch: u64,
        /// Workload; 0 = unbound.
        24 workload: u64,
        /// Cookie of the socket; 0 = not known.
        32 cookie: u64,
        /// Image that allowed the flow in `addr`.
        40 generation: u64,
        /// Protocol of that flow; 0 = nothing cached.
        48 proto: u16,
        /// Its destination port.
        50 port: u16,
        /// Port that it was sent from.
        52 source_port: u16,
        /// Zero.
        54 pad: u16,
        /// Destination of the flow that is allowed.
        56 addr: [u8; 16],
        /// End of the allowance, CLOCK_BOOTTIME nanoseconds; 0 = none.
        72 expiry: u64,
        /// Version of the binding that allowed the flow.
        80 version: u64,
        /// Epoch in which the flow was allowed: in the same one its binding is the same.
        88 allowed_epoch: u64,
        /// Cgroup that made it.
        96 creator: u64,
        /// Name of the process that made it.
        104 comm: [u8; 16],
        /// Peer that was accepted.
        120 peer: [u8; 16],
        /// Its port.
        136 peer_port: u16,
        /// Zero.
        138 pad2: u16,
        /// Length of the send queue, as a sequence number, by what passed the program of `streams`.
        140 queued: u32,
        /// That process.
        144 tgid: u32,
        /// Zero.
        148 pad3: u32,
        /// Last datagram of the flow in `addr`, CLOCK_BOOTTIME nanoseconds.
        152 heard: u64,
        /// Until when that flow may outlive its name's time; 0 = it may not.
        160 lasts: u64,
    }
    /// Value of `peers`, by workload, made when it is bound: who has sent to it over UDP, and may be answered.
    Peers "peers" 24576 {
        /// Keyed hash of network namespace, peer, its port and ours; 0 = the place is free.
        0 hash: [u64; 2048],
        /// Last datagram of that peer, in units of 2^24 ns.
        16384 time: [u32; 2048],
    }
    /// Value of `spoken`, by workload: a filter of the peers to which it spoke first, so that their packets open nothing.
    Spoken "spoken" 16392 {
        /// Number of the present half's time.
        0 turn: u64,
        /// Two halves; a bit may stand for several peers.
        8 bits: [u64; 2048],
    }
    /// Item of `sweep`: an entry of `learned`, or of `names`, to be visited.
    SweepItem "sweep_item" 32 {
        /// Workload; 0 = a name.
        0 cgroup: u64,
        /// Address, or the name's key in the first half.
        8 key: [u64; 2],
        /// Network namespace.
        24 netns: u64,
    }
}

/// Hash over every name, type, offset, size and constant above: two sides with the same fingerprint read
/// the same bytes the same way. Comments do not count.
pub fn fingerprint() -> u64 {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for layout in LAYOUTS {
        hash.update(format!("{} {}\n", layout.name, layout.size));
        for field in layout.fields {
            hash.update(format!(" {} {} {}\n", field.offset, field.name, field.ty));
        }
    }
    for (name, value, _) in CONSTANTS {
        hash.update(format!("{name}={value}\n"));
    }
    for (name, _, _) in REASONS {
        hash.update(format!("{name}\n"));
    }
    let digest = hash.finalize();
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}
