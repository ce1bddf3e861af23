"""Edits of sabotage.py: files, and what the command line makes of them."""

from __future__ import annotations

from sabotage_files import Edit

FILES = "fastquant/_files.py"
SINKS = "fastquant/_sinks.py"
REPORT = "fastquant/_report.py"
QUANTIZE = "fastquant/_quantize_command.py"

EDITS = [
    # ---- what is read ----
    Edit("files: members of any size", FILES, [("if member.file_size > _EXPANSION[", "if 0 and _EXPANSION[")]),
    Edit("files: members that overlap", FILES, [("if sum(member.compress_size for", "if sum(0 for")]),
    Edit("files: memory as the directory says", FILES, [("max(tensor.where.compress_size, CHUNK)", "tensor.nbytes")]),
    Edit("files: headers of any length in all", FILES, [("if heads > CHUNK + 4 * size:", "if False:")]),
    Edit("files: a header of any length", FILES, [(" or len(characters) > _NPY_HEADER:", ":")]),
    Edit("files: objects", FILES, [("    if dtype.hasobject:\n", "    if False:\n")]),
    Edit("files: a name twice", FILES, [("        if name in found:\n", "        if False:\n")]),
    Edit("files: types of records are kept", FILES, [("dtype if kind else None", "dtype")]),
    Edit("files: big-endian data copied as it is", FILES, [('self.dtype == self.dtype.newbyteorder("<")', "True")]),
    # ---- what is written ----
    Edit("files: an output in parts", FILES, [('with open(temporary, "x+b")', 'with open(target, "w+b")')]),
    Edit("files: what failed is left", FILES, [("temporary.unlink(missing_ok=True)", "pass")]),
    Edit("files: permissions of the old file", FILES, [("        if target.exists():\n", "        if False:\n")]),
    Edit("sinks: a name that is not UTF-8", SINKS, [("tensor.name.encode()", 'tensor.name.encode("utf8", "replace")')]),
    Edit("sinks: a name of any length", SINKS, [('if len(name + b".npy") > _MAX_ZIP_NAME:', "if False:")]),
    Edit("sinks: a name's length without .npy", SINKS, [('len(name + b".npy") >', "len(name) >")]),
    Edit("sinks: any number of dimensions", SINKS, [("if len(tensor.shape) > MAX_AXES else", "if False else")]),
    Edit("sinks: any shape", SINKS, [("if not what and too_large(", "if False and too_large(")]),
    Edit("sinks: metadata's name for a tensor", SINKS, [('"this name" if name == b"__metadata__" else ""', '""')]),
    Edit("sinks: data that is not aligned", SINKS, [("end % tensor.dtype.itemsize", "False")]),
    # ---- the command line ----
    Edit("cli: the output is the input", QUANTIZE, [("os.path.samefile(args.out, args.file)", "False")]),
    Edit("cli: names that are taken", QUANTIZE, [("        if output.name in names:\n", "        if False:\n")]),
    Edit("cli: new room for each tensor", QUANTIZE, [("if x.size > self._codes.size:", "if True:")]),
    Edit("cli: tables of any length", REPORT, [("len(rows) > _MOST_ROWS or ", "")]),
    Edit("cli: tables of any width", REPORT, [(" or sum(len(cell) for row in rows for cell in row) > _MOST_TEXT", "")]),
]
