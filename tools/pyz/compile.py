"""Compiles a folder of sources; run by each interpreter that the builder has: compile.py SOURCES OUTPUT.

Docstrings and the annotations of functions go: nothing reads them at run time, and they are a good part of what an idle
agent keeps in memory. Assertions stay, which -OO would take. Prints the magic number in hex.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import sys
from pathlib import Path
from typing import Final

__all__ = ["compiled", "main"]

# An "unchecked hash" header (PEP 552): no time, and never held against a source.
HEADER: Final = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)


class _Strip(ast.NodeTransformer):
    """Takes docstrings and the annotations of functions out of a module's tree."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._without_docstring(node)
        if "dataclass" in {ast.unparse(part).split("(")[0].rpartition(".")[2] for part in node.decorator_list}:
            # Without one it would make itself a docstring of its signature, at every start.
            node.body.insert(0, ast.copy_location(ast.Expr(ast.copy_location(ast.Constant("."), node)), node))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        spec = node.args
        for argument in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg):
            if argument is not None:
                argument.annotation = None
        return self._without_docstring(node)

    def _without_docstring(self, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            if len(node.body) > 1 or isinstance(node, ast.Module):
                del node.body[0]
            else:
                node.body[0] = ast.copy_location(ast.Pass(), first)
        return node


def compiled(source: bytes, name: str) -> bytes:
    """The content of a .pyc. `name` is the path inside the archive, which tracebacks show."""
    tree = _Strip().visit(ast.parse(source, name))
    code = compile(tree, name, "exec", dont_inherit=True, optimize=0)
    # Marshalling marks what is referenced more than once; a second round makes the marks independent of this process.
    return HEADER + marshal.dumps(marshal.loads(marshal.dumps(code)))


def main(sources: Path, output: Path) -> None:
    for path in sorted(sources.rglob("*.py")):
        name = path.relative_to(sources)
        target = (output / name).with_suffix(".pyc")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(compiled(path.read_bytes(), name.as_posix()))
    print(importlib.util.MAGIC_NUMBER.hex())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
