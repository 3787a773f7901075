"""Times as text, many at once: the form that the exporters write, to Unix nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from otel_etw.layouts.times import parse_time_text
from otel_etw.tables.values import gathered
from otel_etw.tracelogging.text import from_8bit

_PATTERN = b"0000-00-00T00:00:00"
_LENGTHS = (20, 24, 27, 30)
"""Without a fraction, or with 3, 6 or 9 digits; and ``Z``."""
_DIGITS = [place for place, sign in enumerate(_PATTERN) if sign == ord("0")]
_SIGNS = [place for place, sign in enumerate(_PATTERN) if sign != ord("0")]
_DAYS_BEFORE = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], np.int64)
_DAYS_IN = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_EARLIEST_YEAR, _LATEST_YEAR = 1678, 2261
"""Years that nanoseconds in 64 bits can say in full."""
_NANO = 1_000_000_000
_MINUTE_SIGNS = 17
_MOST_NANO = 9_200_000_000 * _NANO
_U64 = np.uint64


def parse_times(data: np.ndarray, start: np.ndarray, length: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Unix nanoseconds of the texts; ``fallback`` where a text is no time."""
    result = fallback.copy()
    done = np.zeros(len(start), bool)
    for size in _LENGTHS:
        rows = np.flatnonzero(length == size) if (length != size).any() else np.arange(len(length))
        if len(rows):
            times, is_regular = _regular(gathered(data, start[rows], f"V{size}"), size)
            result[rows[is_regular]] = times[is_regular]
            done[rows[is_regular]] = True
    for row in np.flatnonzero(~done & (length > 0)).tolist():
        place = int(start[row])
        time = parse_time_text(from_8bit(data[place : place + int(length[row])].tobytes()))
        if time is not None:
            result[row] = min(max(time, -(1 << 63)), (1 << 63) - 1)
    return result


def _regular(texts: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The times of texts of one length, and which of them are of the usual form."""
    signs = texts.view(np.uint8).reshape(len(texts), size)
    if (signs[:, :_MINUTE_SIGNS] == signs[0, :_MINUTE_SIGNS]).all():
        return _of_one_minute(signs, size)
    digits = signs - np.uint8(ord("0"))
    whole = signs[:, _SIGNS] == np.frombuffer(bytes(_PATTERN[place] for place in _SIGNS), np.uint8)
    good = whole.all(axis=1) & (digits[:, _DIGITS] <= 9).all(axis=1)
    year, month, day = _number(digits, range(4)), _number(digits, (5, 6)), _number(digits, (8, 9))
    hour, minute = (_number(digits, (at, at + 1)) for at in (11, 14))
    good &= (year >= _EARLIEST_YEAR) & (year <= _LATEST_YEAR) & (month >= 1) & (month <= 12)
    month = np.where(good, month, 1)
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good &= (day >= 1) & (day <= _DAYS_IN[month] + (is_leap & (month == 2)))
    good &= (hour < 24) & (minute < 60)
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719162
    days += _DAYS_BEFORE[month - 1] + (is_leap & (month > 2)) + day - 1
    within, is_regular = _within_minute(signs, size)
    return ((days * 24 + hour) * 60 + minute) * 60 * _NANO + within, good & is_regular


def _of_one_minute(signs: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of texts that differ in nothing before the seconds."""
    start = parse_time_text(signs[0, :_MINUTE_SIGNS].tobytes().decode("latin-1") + "00Z")
    is_usual = bytes(signs[0, _SIGNS]) == bytes(_PATTERN[place] for place in _SIGNS)
    if start is None or not is_usual or abs(start) > _MOST_NANO:
        return np.zeros(len(signs), np.int64), np.zeros(len(signs), bool)
    within, is_regular = _within_minute(signs, size)
    return start + within, is_regular


def _within_minute(signs: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Nanoseconds since the minute of texts, and which of them have digits and signs where they belong."""
    if size == _LENGTHS[-1]:
        return _with_nine_digits(signs)
    digits = signs[:, _MINUTE_SIGNS:-1] - np.uint8(ord("0"))
    good = (signs[:, -1] == ord("Z")) & (digits[:, :2] <= 9).all(axis=1)
    second = digits[:, 0].astype(np.int64) * 10 + digits[:, 1]
    good &= second < 60
    if size == _LENGTHS[0]:
        return second * _NANO, good
    good &= (signs[:, 19] == ord(".")) & (digits[:, 3:] <= 9).all(axis=1)
    return second * _NANO + _number(digits, range(3, size - 18)) * 10 ** (30 - size), good


def _with_nine_digits(signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of texts that end in ``56.123456789Z``: four signs as one number, and then eight."""
    flat = signs.reshape(-1)
    place = np.arange(0, flat.size, signs.shape[1])
    first = gathered(flat, place + _MINUTE_SIGNS, "<u4") ^ np.uint32(int.from_bytes(b"00.0", "little"))
    tens, ones, tenth = first & 0xFF, (first >> 8) & 0xFF, first >> 24
    last, good = _eight_digits(gathered(flat, place + 21, "<u8"))
    good &= (tens <= 5) & (ones <= 9) & (first & 0xFF0000 == 0) & (tenth <= 9)
    good &= flat.take(place + signs.shape[1] - 1) == ord("Z")
    return (tens * 10 + ones).astype(np.int64) * _NANO + tenth.astype(np.int64) * 10**8 + last, good


def _eight_digits(letters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that eight digits each, read as one little-endian number, stand for; and which are digits.

    Two, then four, then eight digits are put together at once in the bytes of one number.
    """
    values = letters - _U64(0x3030303030303030)
    are_digits = ((values | (letters + _U64(0x4646464646464646))) & _U64(0x8080808080808080)) == 0
    values = (values * _U64(10) + (values >> _U64(8))) & _U64(0x00FF00FF00FF00FF)
    values = (values * _U64(100) + (values >> _U64(16))) & _U64(0x0000FFFF0000FFFF)
    values = (values * _U64(10_000) + (values >> _U64(32))) & _U64(0xFFFFFFFF)
    return values.astype(np.int64), are_digits


def _number(digits: np.ndarray, places: Iterable[int]) -> np.ndarray:
    number = np.zeros(len(digits), np.int64)
    for place in places:
        number *= 10
        number += digits[:, place]
    return number
