# Run by gdb, which is connected to a qemu-user process with a stopped guest: writes a core as Linux
# would for the guest's machine. Memory and mappings are those of the emulator's own process, where
# a 64-bit guest's addresses are the same. Layouts: fs/binfmt_elf.c and asm/ptrace.h of Linux.
import gdb
import struct

PID, CORE, MACHINE, SIGNAL = int(guest_pid), guest_core, 243, int(guest_signal)
REGISTERS = ['pc', 'ra', 'sp', 'gp', 'tp', 't0', 't1', 't2', 'fp', 's1'] + [
    'a%d' % i for i in range(8)] + ['s%d' % i for i in range(2, 12)] + ['t%d' % i for i in range(3, 7)]
EMULATOR = 0x500000000000

def note(kind, body):
    pad = lambda data: data + bytes(-len(data) % 4)
    return struct.pack('<III', 5, len(body), kind) + pad(b'CORE\0') + pad(body)

def prstatus(thread):
    thread.switch()
    frame = gdb.newest_frame()
    values = [int(frame.read_register(name)) & (1 << 64) - 1 for name in REGISTERS]
    body = bytearray(376)
    struct.pack_into('<h', body, 12, SIGNAL)
    struct.pack_into('<i', body, 32, thread.ptid[1])
    struct.pack_into('<32Q', body, 112, *values)
    return note(1, bytes(body))

def auxv():
    body = b''
    for line in gdb.execute('info auxv', to_string=True).splitlines():
        words = line.split()
        value = words[-2] if words[-1].startswith('"') else words[-1]
        body += struct.pack('<QQ', int(words[0]), int(value, 0))
    return note(6, body + bytes(16))

def mappings():
    for line in open('/proc/%d/maps' % PID):
        words = line.split(None, 5)
        start, end = (int(word, 16) for word in words[0].split('-'))
        path = words[5].strip() if len(words) > 5 else ''
        if end <= EMULATOR:
            yield start, end, words[1], int(words[2], 16), path

def executable(path, offset):
    """The emulator maps the guest's code without the right to run it: its file has that right."""
    if not path.startswith('/'):
        return True
    file = open(path, 'rb').read()
    table, size, count = *struct.unpack_from('<Q', file, 32), *struct.unpack_from('<HH', file, 54)
    for at in range(table, table + size * count, size):
        kind, flags, start = struct.unpack_from('<IIQ', file, at)
        if kind == 1 and flags & 1 and start & ~4095 == offset:
            return True
    return False

def files(known):
    named = [m for m in known if m[4].startswith('/')]
    body = struct.pack('<QQ', len(named), 4096)
    for start, end, _, offset, _ in named:
        body += struct.pack('<QQQ', start, end, offset // 4096)
    return note(0x46494c45, body + b''.join(m[4].encode() + b'\0' for m in named))

def content(memory, mapping):
    start, end, rights, offset, path = mapping
    if 'r' not in rights or (path.startswith('/') and 'w' not in rights and offset != 0):
        return b''
    if path.startswith('/') and 'w' not in rights:
        end = start + 4096
    memory.seek(start)
    return memory.read(end - start)

def write():
    known = list(mappings())
    selected = gdb.selected_thread()
    threads = [selected] + [t for t in gdb.selected_inferior().threads() if t.num != selected.num]
    notes = b''.join(map(prstatus, threads)) + auxv() + files(known)
    memory = open('/proc/%d/mem' % PID, 'rb', 0)
    parts = [content(memory, mapping) for mapping in known]
    count = 1 + len(known)
    at = 64 + 56 * count
    headers = struct.pack('<IIQQQQQQ', 4, 0, at, 0, 0, len(notes), 0, 4)
    at += len(notes)
    for (start, end, rights, offset, path), part in zip(known, parts):
        flags = sum(bit for letter, bit in (('r', 4), ('w', 2)) if letter in rights)
        flags |= flags == 4 and executable(path, offset)
        headers += struct.pack('<IIQQQQQQ', 1, flags, at, start, 0, len(part), end - start, 4096)
        at += len(part)
    ident = b'\x7fELF' + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack('<HHIQQQIHHHHHH', 4, MACHINE, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    with open(CORE, 'wb') as core:
        core.write(header + headers + notes)
        core.writelines(parts)

write()
