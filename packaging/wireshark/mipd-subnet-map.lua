-- Wireshark dissector for the subnet map protocol of mipd (UDP port 6500); docs/subnet-map-protocol.md describes it.
-- Try it:  tshark -X lua_script:packaging/wireshark/mipd-subnet-map.lua -r FILE -Y mipd_subnet_map -V
-- Keep it: copy it to Wireshark's folder of personal Lua plugins (Help, About Wireshark, Folders).

local protocol = Proto("mipd_subnet_map", "mipd Subnet Map Protocol")

local HEADER, AUTHENTICATOR, ENTRY = 32, 32, 24
local TYPES = {
    [1] = "Hello", [2] = "Welcome", [3] = "Report", [4] = "Entries", [5] = "Comparison", [6] = "Acknowledgement",
}

local field = {
    magic = ProtoField.string("mipd_subnet_map.magic", "Magic"),
    version = ProtoField.uint8("mipd_subnet_map.version", "Version"),
    type = ProtoField.uint8("mipd_subnet_map.type", "Type", base.DEC, TYPES),
    sender = ProtoField.ipv4("mipd_subnet_map.sender", "Sender"),
    to = ProtoField.uint64("mipd_subnet_map.to", "Recipient's nonce", base.HEX),
    from = ProtoField.uint64("mipd_subnet_map.from", "Sender's nonce", base.HEX),
    sequence = ProtoField.uint32("mipd_subnet_map.sequence", "Sequence number"),
    acknowledged = ProtoField.uint32("mipd_subnet_map.acknowledged", "Acknowledged sequence number"),
    digest = ProtoField.uint64("mipd_subnet_map.digest", "Digest of the sender's table", base.HEX),
    has_home_agent = ProtoField.bool("mipd_subnet_map.has_home_agent", "Home agent known", 8, nil, 0x02),
    leaving = ProtoField.bool("mipd_subnet_map.leaving", "Leaving", 8, nil, 0x01),
    home_agent = ProtoField.ipv4("mipd_subnet_map.home_agent", "Home agent"),
    prefix_length = ProtoField.uint8("mipd_subnet_map.prefix_length", "Prefix length"),
    last = ProtoField.bool("mipd_subnet_map.last", "Last of a whole table", 8, nil, 0x02),
    first = ProtoField.bool("mipd_subnet_map.first", "First of a whole table", 8, nil, 0x01),
    count = ProtoField.uint16("mipd_subnet_map.count", "Number of entries"),
    entry = ProtoField.none("mipd_subnet_map.entry", "Entry"),
    network = ProtoField.ipv4("mipd_subnet_map.network", "Network"),
    removed = ProtoField.bool("mipd_subnet_map.removed", "Removed", 8, nil, 0x01),
    origin = ProtoField.ipv4("mipd_subnet_map.origin", "Origin"),
    entry_version = ProtoField.uint64("mipd_subnet_map.entry_version", "Version of the entry"),
    authenticator = ProtoField.bytes("mipd_subnet_map.authenticator", "Authenticator (HMAC-SHA-256)"),
}
protocol.fields = field

local malformed = ProtoExpert.new(
    "mipd_subnet_map.malformed", "The body does not fit its type", expert.group.MALFORMED, expert.severity.ERROR)
protocol.experts = { malformed }

local function dissect_report(body, tree)
    tree:add(field.home_agent, body(0, 4))
    tree:add(field.prefix_length, body(4, 1))
    tree:add(field.has_home_agent, body(5, 1))
    tree:add(field.leaving, body(5, 1))
    tree:add(field.digest, body(8, 8))
    local flags = body(5, 1):uint()
    local text = ""
    if math.floor(flags / 2) % 2 == 1 then
        text = string.format(", home agent %s/%d", body(0, 4):ipv4(), body(4, 1):uint())
    end
    if flags % 2 == 1 then
        text = text .. ", leaving"
    end
    return text
end

local function dissect_entries(body, tree)
    local count = body(2, 2):uint()
    tree:add(field.first, body(0, 1))
    tree:add(field.last, body(0, 1))
    tree:add(field.count, body(2, 2))
    if body:len() ~= 4 + count * ENTRY then
        return nil
    end
    for number = 0, count - 1 do
        local entry = body(4 + number * ENTRY, ENTRY)
        local removed = entry(5, 1):uint() % 2 == 1
        local branch = tree:add(field.entry, entry)
        branch:set_text(string.format("%s/%d: home agent %s%s", entry(0, 4):ipv4(), entry(4, 1):uint(),
            entry(8, 4):ipv4(), removed and ", removed" or ""))
        branch:add(field.network, entry(0, 4))
        branch:add(field.prefix_length, entry(4, 1))
        branch:add(field.removed, entry(5, 1))
        branch:add(field.home_agent, entry(8, 4))
        branch:add(field.origin, entry(12, 4))
        branch:add(field.entry_version, entry(16, 8))
    end
    return string.format(", %d entries", count)
end

local function dissect_digest(body, tree)
    tree:add(field.digest, body(0, 8))
    return ""
end

-- Length of the body and what reads it. Entries have one of their own.
local BODIES = {
    [1] = { length = 0 },
    [2] = { length = 0 },
    [3] = { length = 16, dissect = dissect_report },
    [4] = { dissect = dissect_entries },
    [5] = { length = 8, dissect = dissect_digest },
    [6] = { length = 8, dissect = dissect_digest },
}

function protocol.dissector(buffer, packet, root)
    if buffer:len() < HEADER + AUTHENTICATOR or buffer(0, 2):string() ~= "SM" then
        return 0
    end
    packet.cols.protocol = "mipd-SM"
    local type = buffer(3, 1):uint()
    local tree = root:add(protocol, buffer())
    tree:add(field.magic, buffer(0, 2))
    tree:add(field.version, buffer(2, 1))
    tree:add(field.type, buffer(3, 1))
    tree:add(field.sender, buffer(4, 4))
    tree:add(field.to, buffer(8, 8))
    tree:add(field.from, buffer(16, 8))
    tree:add(field.sequence, buffer(24, 4))
    tree:add(field.acknowledged, buffer(28, 4))

    local length = buffer:len() - HEADER - AUTHENTICATOR
    local known = BODIES[type]
    local text = nil
    if known and (known.length or math.max(length, 4)) == length then
        text = ""
        if known.dissect then
            text = known.dissect(buffer(HEADER, length), tree)
        end
    end
    if not text then
        tree:add_proto_expert_info(malformed)
        text = ", malformed"
    end
    local sequence = buffer(24, 4):uint()
    local number = sequence ~= 0 and string.format(" %d", sequence) or ""
    packet.cols.info = (TYPES[type] or string.format("Type %d", type)) .. number .. text
    tree:add(field.authenticator, buffer(buffer:len() - AUTHENTICATOR, AUTHENTICATOR))
    return buffer:len()
end

DissectorTable.get("udp.port"):add(6500, protocol)
