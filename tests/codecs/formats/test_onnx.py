"""ONNX files: the onnx package writes and reads, we find."""

from __future__ import annotations

import io

import numpy as np
import pytest

from freebits_codecs.formats import read_layout

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(6)


def _model(initializers: list[object], nodes: list[object] | None = None) -> bytes:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes or [], "g", [], [output], initializers)
    return helper.make_model(graph, producer_name="tests").SerializeToString()


@pytest.mark.parametrize(
    ("numpy_dtype", "dtype"),
    [("f2", "F16"), ("f4", "F32"), ("f8", "F64"), ("i1", "I8"), ("i8", "I64"), ("?", "BOOL")],
)
def test_initializers(read, bytes_by_name, numpy_dtype, dtype):
    """Raw data of initializers, under their names."""
    array = RNG.normal(size=(3, 5)).astype(numpy_dtype)
    content = _model([numpy_helper.from_array(array, "w"), numpy_helper.from_array(array[0], "b")])
    ours = bytes_by_name(read(content), content)
    assert ours == {"w": (dtype, (3, 5), array.tobytes()), "b": (dtype, (5,), array[0].tobytes())}


@pytest.mark.parametrize(
    ("data_type", "dtype", "nbytes"),
    [
        (TensorProto.BFLOAT16, "BF16", 8),
        (TensorProto.FLOAT8E4M3FN, "F8_E4M3", 4),
        (TensorProto.FLOAT8E5M2, "F8_E5M2", 4),
        (TensorProto.FLOAT8E4M3FNUZ, "U8", 4),
        (TensorProto.INT4, "U8", 2),
        (TensorProto.COMPLEX64, "F32", 32),
    ],
)
def test_other_types(read, data_type, dtype, nbytes):
    """Narrow floats by name, the rest as opaque bytes, complex numbers as pairs."""
    tensor = TensorProto(name="w", data_type=data_type, dims=[4], raw_data=bytes(nbytes))
    assert [(e.dtype, e.stop - e.start) for e in read(_model([tensor])).extents] == [(dtype, nbytes)]


def test_typed_float_fields(read, bytes_by_name):
    """Floats in float_data are packed little-endian, as good as raw."""
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    assert tensor.float_data
    content = _model([tensor])
    assert bytes_by_name(read(content), content)["w"][2] == np.float32([1, 2, 3]).tobytes()


def test_constants_and_subgraphs(read):
    """Tensors in attributes of nodes, and in graphs that are attributes."""
    inner = helper.make_graph([], "inner", [], [], [numpy_helper.from_array(np.ones(4, np.float32), "deep")])
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(2), "shallow"))
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    layout = read(_model([], [constant, branch]))
    assert sorted(tensor.name for tensor in layout.tensors) == ["deep", "shallow"]
    assert len(layout.extents) == 3


def test_graph_cut_off_keeps_extents():
    """Half a model still has the extents found so far, but no names."""
    arrays = [numpy_helper.from_array(RNG.normal(size=100), f"w{n}") for n in range(10)]
    content = _model(arrays)
    layout = read_layout(io.BytesIO(content[: len(content) // 2]))
    assert layout is None or (layout.tensors == () and len(layout.extents) <= 5)
