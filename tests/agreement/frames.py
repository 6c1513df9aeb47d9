"""Runs inside gdb: writes every thread's frames as JSON, a thread a line."""

import json
import gdb


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
            "signal": frame.type() == gdb.SIGTRAMP_FRAME,
        }
        try:
            frame = frame.older()
        except gdb.error:
            return


for thread in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num):
    thread.switch()
    print("THREAD " + json.dumps({"tid": thread.ptid[1], "frames": list(frames())}))
