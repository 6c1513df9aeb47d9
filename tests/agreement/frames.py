"""Runs inside gdb: writes every thread's frames as JSON, a thread a line."""

import json
import gdb


NUMBERS = (
    gdb.TYPE_CODE_INT,
    gdb.TYPE_CODE_CHAR,
    gdb.TYPE_CODE_BOOL,
    gdb.TYPE_CODE_PTR,
    gdb.TYPE_CODE_REF,
)


def variables(frame):
    """Numbers and addresses in scope, outermost block last; null where the compiler kept none."""
    try:
        block = frame.block()
    except RuntimeError:
        return
    while block is not None and block.superblock is not None:
        for symbol in block:
            if not (symbol.is_argument or symbol.is_variable) or symbol.type is None:
                continue
            kind = symbol.type.strip_typedefs()
            if kind.code not in NUMBERS or kind.sizeof > 8:
                continue
            try:
                value = symbol.value(frame)
                if value.is_optimized_out:
                    number = None
                elif kind.code == gdb.TYPE_CODE_REF:
                    number = int(value.address)
                elif str(value) == "<synthetic pointer>":
                    continue
                else:
                    number = int(value)
            except (gdb.error, gdb.MemoryError, RuntimeError):
                continue
            yield [symbol.name, number]
        if block.function is not None:
            return
        block = block.superblock


def frames():
    frame = gdb.newest_frame()
    while frame is not None and frame.is_valid():
        place = frame.find_sal()
        symbol = frame.function()
        yield {
            "pc": frame.pc(),
            "linkage_name": symbol.linkage_name if symbol else None,
            "function": frame.name(),
            "file": place.symtab.filename if place.symtab else None,
            "line": place.line if place.symtab and place.line else None,
            "variables": list(variables(frame)),
            "signal": frame.type() == gdb.SIGTRAMP_FRAME,
        }
        try:
            frame = frame.older()
        except gdb.error:
            return


for thread in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num):
    thread.switch()
    print("THREAD " + json.dumps({"tid": thread.ptid[1], "frames": list(frames())}))
