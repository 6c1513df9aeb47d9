"""reports: reads a native buffer that is not there (ctypes), so CPython itself dies."""
import ctypes


def read_native_rows(address):
    return ctypes.string_at(address)


def monthly_report(month):
    print("reports:", month, flush=True)
    return read_native_rows(0)


if __name__ == "__main__":
    monthly_report("2026-10")
