"""Loops of the convolutions of mostly empty images, compiled by numba for one set of sizes.

One thread, no reordered sums: the same numbers every time. Compiled code is kept beside this file
(or in the user's cache folder), so only the first process on a machine compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import entrypoints
from numba.extending import intrinsic

NOWHERE = -1
"""Of a pool in which no value is above 0."""


def _code_of_add(
    _context: Any, to: Any, _start: Any, more: Any, _first: Any, _factor: Any, count: Any
) -> Any:
    """`to[start : start + count] += factor * more[first : first + count]`, all at once.

    Both arrays are one-dimensional and of different memory, which numba cannot know: it would add
    number after number. `count` is a constant.
    """
    width = count.literal_value

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        target, at, source, begin, factor, _ = values
        number = context.get_value_type(signature.args[0].dtype)
        vector, lane = ir.VectorType(number, width), ir.IntType(32)
        align = context.get_abi_sizeof(number)

        def place(index: int, array: Any, offset: Any) -> Any:
            data = context.make_array(signature.args[index])(context, builder, array).data
            return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())

        nothing = ir.Constant(vector, ir.Undefined)
        lanes = ir.Constant(ir.VectorType(lane, width), [0] * width)
        factors = builder.insert_element(nothing, factor, lane(0))
        factors = builder.shuffle_vector(factors, nothing, lanes)
        more = builder.fmul(factors, builder.load(place(2, source, begin), align=align))
        goal = place(0, target, at)
        builder.store(builder.fadd(builder.load(goal, align=align), more), goal, align=align)
        return context.get_dummy_value()

    return types.void(to, types.intp, more, types.intp, to.dtype, count), generate


_add: Any = intrinsic(prefer_literal=True)(_code_of_add)


class Kernels(NamedTuple):
    """Compiled loops; all arrays are C-contiguous.

    * `touched(images, weight, bias)`: the first convolution where a pixel is not zero; `weight` is
      [channel, row, column, feature];
    * `pooled(parts, base, places, starts, rows, columns)`: the second one, ReLU and pooling;
    * `gradients(grad, best, weight, size, *touched)`: of both weights and biases; `weight` is
      [feature out, tap, feature in], `size` the channels, rows and columns of the images.
    """

    touched: Callable[..., Any]
    pooled: Callable[..., Any]
    gradients: Callable[..., Any]


@contextmanager
def _no_extensions() -> Iterator[None]:
    """Before numba compiles it imports what installed packages add to it, here to no use.

    That takes a second and 90 MB for vector and awkward. What compiles later still imports it.
    """
    before = entrypoints._already_initialized
    entrypoints._already_initialized = True
    try:
        yield
    finally:
        entrypoints._already_initialized = before


def _compiled(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    with _no_extensions():
        try:
            compiled: Callable[..., Any] = njit(arguments, cache=True, error_model="numpy")(
                function
            )
        except RuntimeError:  # numba found no folder that it may write to
            compiled = njit(arguments, error_model="numpy")(function)
    return compiled


@lru_cache
def kernels(first: int, features: int, second: int, maps: int, number: str) -> Kernels:
    """Loops for kernels of `first` and `second` pixels a side, with `features` and `maps` outputs.

    `number` is float32 or float64. Loops over constants are what makes them fast: other sizes are
    compiled anew.
    """
    real, whole = getattr(types, number), types.int32

    def array(kind: Any, axes: int) -> Any:
        return types.Array(kind, axes, "C")

    def touched(images, weight, bias):  # type: ignore[no-untyped-def]
        events, channels, height, width = images.shape
        rows, columns = height - first + 1, width - first + 1
        taps = np.count_nonzero(images) * first * first
        most = min(taps, events * rows * columns)
        before = np.empty((most, features), images.dtype)
        befores, weights = before.reshape(-1), weight.reshape(-1)
        places = np.empty(most, np.int32)
        starts = np.empty(events + 1, np.int32)
        # of each pair of a pixel and a place that sees it: the place, the tap, the pixel's value
        spot = np.empty(taps, np.int32)
        tap = np.empty(taps, np.int32)
        pixel = np.empty(taps, images.dtype)
        index = np.full(rows * columns, -1, np.int32)
        spots = pairs = 0
        for event in range(events):
            starts[event] = spots
            for channel in range(channels):
                for y in range(height):
                    for x in range(width):
                        value = images[event, channel, y, x]
                        if value == 0:
                            continue
                        for a in range(max(0, y - rows + 1), min(first, y + 1)):
                            for b in range(max(0, x - columns + 1), min(first, x + 1)):
                                place = (y - a) * columns + x - b
                                at = index[place]
                                if at < 0:
                                    at = index[place] = spots
                                    places[spots] = place
                                    for f in range(features):
                                        before[spots, f] = bias[f]
                                    spots += 1
                                part = (channel * first + a) * first + b
                                start, at_tap = at * features, part * features
                                _add(befores, start, weights, at_tap, value, features)
                                spot[pairs] = at
                                tap[pairs] = part
                                pixel[pairs] = value
                                pairs += 1
            for at in range(starts[event], spots):
                index[places[at]] = -1
        starts[events] = spots
        # what ReLU gives here, minus what it gives where all pixels are zero; NaN stays NaN
        more = np.empty((spots, features), images.dtype)
        for at in range(spots):
            for f in range(features):
                value = before[at, f]
                more[at, f] = (0 if value <= 0 else value) - max(bias[f], 0)
        return (
            more,
            before[:spots],
            places[:spots],
            starts,
            spot[:pairs],
            tap[:pairs],
            pixel[:pairs],
        )

    def pooled(parts, base, places, starts, rows, columns):  # type: ignore[no-untyped-def]
        events = len(starts) - 1
        height, width = rows - second + 1, columns - second + 1
        values = np.empty((events, height // 2, width // 2, maps), parts.dtype)
        best = np.empty(values.shape, np.int32)
        whole = np.empty((height, width, maps), parts.dtype)
        sums, flat, one = whole.reshape(-1), parts.reshape(-1), parts.dtype.type(1)
        for event in range(events):
            for place in range(height * width):
                for o in range(maps):
                    sums[place * maps + o] = base[o]
            for at in range(starts[event], starts[event + 1]):
                y, x = places[at] // columns, places[at] % columns
                for a in range(max(0, y - height + 1), min(second, y + 1)):
                    for b in range(max(0, x - width + 1), min(second, x + 1)):
                        place = ((y - a) * width + x - b) * maps
                        part = ((at * second + a) * second + b) * maps
                        _add(sums, place, flat, part, one, maps)
            for y in range(height // 2):
                for x in range(width // 2):
                    for o in range(maps):
                        upper_left, upper_right = whole[2 * y, 2 * x, o], whole[2 * y, 2 * x + 1, o]
                        lower_left = whole[2 * y + 1, 2 * x, o]
                        lower_right = whole[2 * y + 1, 2 * x + 1, o]
                        top, corner = parts.dtype.type(0), np.int32(NOWHERE)
                        # the first of equals, and NaN above all, as PyTorch's pooling
                        if upper_left > top or upper_left != upper_left:
                            top, corner = upper_left, np.int32(0)
                        if upper_right > top or upper_right != upper_right:
                            top, corner = upper_right, np.int32(1)
                        if lower_left > top or lower_left != lower_left:
                            top, corner = lower_left, np.int32(2)
                        if lower_right > top or lower_right != lower_right:
                            top, corner = lower_right, np.int32(3)
                        values[event, y, x, o] = top
                        best[event, y, x, o] = corner
        return values, best

    def gradients(  # type: ignore[no-untyped-def]
        grad, best, weight, size, more, before, places, starts, spot, tap, pixel
    ):
        channels, height, width = size
        events, pools_high, pools_wide, _ = grad.shape
        columns = width - first + 1
        index = np.full((height - first + 1) * columns, -1, np.int32)
        of_base = np.zeros(maps, grad.dtype)
        of_second = np.zeros(weight.shape, grad.dtype)
        inner = np.zeros(more.shape, grad.dtype)
        inners, seconds = inner.reshape(-1), of_second.reshape(-1)
        mores, weights = more.reshape(-1), weight.reshape(-1)
        for event in range(events):
            for at in range(starts[event], starts[event + 1]):
                index[places[at]] = at
            for y in range(pools_high):
                for x in range(pools_wide):
                    for o in range(maps):
                        corner = best[event, y, x, o]
                        if corner == NOWHERE:
                            continue
                        slope = grad[event, y, x, o]
                        of_base[o] += slope
                        corner_place = (2 * y + corner // 2) * columns + 2 * x + corner % 2
                        for a in range(second):
                            for b in range(second):
                                at = index[corner_place + a * columns + b]
                                if at < 0:
                                    continue
                                part = ((o * second + a) * second + b) * features
                                _add(inners, at * features, weights, part, slope, features)
                                _add(seconds, part, mores, at * features, slope, features)
            for at in range(starts[event], starts[event + 1]):
                index[places[at]] = -1
        of_empty = np.zeros(features, grad.dtype)  # to be taken from that of the empty places
        of_bias = np.zeros(features, grad.dtype)
        for at in range(len(inner)):
            for f in range(features):
                of_empty[f] += inner[at, f]
                inner[at, f] = 0 if before[at, f] <= 0 else inner[at, f]
                of_bias[f] += inner[at, f]
        of_first = np.zeros((channels * first * first, features), grad.dtype)
        firsts = of_first.reshape(-1)
        for pair in range(len(spot)):
            at = spot[pair] * features
            _add(firsts, tap[pair] * features, inners, at, pixel[pair], features)
        return of_first, of_bias, of_empty, of_second, of_base

    places, layer = [array(whole, 1), array(whole, 1)], array(real, 4)
    size = types.UniTuple(types.int64, 3)  # type: ignore[no-untyped-call]
    two, three = array(real, 2), array(real, 3)
    return Kernels(
        _compiled(touched, layer, layer, array(real, 1)),
        _compiled(pooled, two, array(real, 1), *places, types.int64, types.int64),
        _compiled(
            *(gradients, layer, array(whole, 4), three, size, two, two, *places, *places),
            array(real, 1),
        ),
    )
