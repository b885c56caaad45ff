"""The made-up worlds behave like the thing, alike for the same seed and time, and are what their registry says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from statistics import fmean, median

import pytest

from ingest.accept import Rules
from ingest.batches import Acceptor
from ingest.client.wire import outgoing
from ingest.protocols.native import Form, NativeReader, parse_dimensions
from ingest.protocols.reader import Batch
from ingest.registry import Registry, load
from tallyboard.demo import workspace
from tallyboard.demo.happened import Demo, Resent, Second
from tallyboard.demo.rhythm import DAY, HOUR, MINUTE, Episode, Rhythm, chance, dice, drift, heavy_tail, how_many
from tallyboard.demo.sender import Event
from tallyboard.demo.shop import goods, kiosk
from tallyboard.demo.shop.baskets import baskets
from tallyboard.demo.shop.stock import delivered_at, full
from tallyboard.demo.shop.world import SHOP, totals
from tallyboard.demo.social import importer, people
from tallyboard.demo.social.posts import REMEMBERED_S, actions, posts
from tallyboard.demo.social.world import SOCIAL

NOON = 1_795_435_200
"""Monday, 23 Nov 2026, 12:00 UTC."""
WORLDS = pytest.mark.parametrize("demo", [SHOP, SOCIAL], ids=lambda demo: demo.name)


@lru_cache(maxsize=2)
def hour(demo: Demo) -> tuple[Second, ...]:
    """The hour from noon on."""
    world = demo.begin(1, NOON)
    return tuple(world.next() for _ in range(HOUR))


def of(demo: Demo, *metrics: str, kinds: Iterable[str] = ("prompt", "late")) -> list[Event]:
    """Every event of these metrics in the hour."""
    return [e for second in hour(demo) for kind in kinds for e in getattr(second, kind) if e["metric"] in metrics]


def by_minute(demo: Demo, metric: str, **dimensions: str) -> list[float]:
    """Sums of a metric by the minute of the hour they were sent in."""
    sums = [0.0] * 60
    for at, second in enumerate(hour(demo)):
        for e in second.prompt:
            if e["metric"] == metric and dimensions.items() <= e["dimensions"].items():
                sums[at // MINUTE] += e["value"]
    return sums


def share(seconds: Iterable[Second], kind: str) -> float:
    counts = [(len(getattr(second, kind)), len(second.all())) for second in seconds]
    return sum(part for part, _ in counts) / sum(whole for _, whole in counts)


# --- seed and time ----------------------------------------------------------------------------------------------------


@WORLDS
@pytest.mark.parametrize("later", [100, 2399, 3140])
def test_a_second_does_not_depend_on_where_the_world_began(demo: Demo, later: int) -> None:
    world = demo.begin(1, NOON + later)
    for second in hour(demo)[later : later + 30]:
        assert world.next() == second


@WORLDS
def test_another_seed_is_another_world_with_other_ids(demo: Demo) -> None:
    world = demo.begin(2, NOON)
    others = [e for _ in range(60) for e in world.next().prompt]
    mine = {e["id"] for second in hour(demo)[:60] for e in second.prompt}
    assert others
    assert mine.isdisjoint(e["id"] for e in others)


@WORLDS
def test_an_id_is_used_once_in_its_series_but_for_what_is_sent_again(demo: Demo) -> None:
    def keys(*kinds: str) -> list[tuple[object, ...]]:
        return [
            (e["metric"], *sorted(e["dimensions"].items()), e["id"])
            for second in hour(demo)
            for kind in kinds
            for e in getattr(second, kind)
        ]

    first = keys("prompt", "late")
    assert len(set(first)) == len(first)
    again = keys("again")
    assert again
    begun = {(e["metric"], *sorted(e["dimensions"].items()), e["id"]) for e in of(demo, *registry(demo).metrics)}
    assert len([key for key in again if key not in begun]) < 200  # of the seconds before noon


# --- what the registry says ------------------------------------------------------------------------------------------


@lru_cache
def registry(demo: Demo) -> Registry:
    return load(workspace(demo.name) / "metrics.toml")


@WORLDS
def test_the_registry_takes_what_is_right_and_refuses_what_is_wrong(demo: Demo) -> None:
    acceptor = Acceptor(Rules(registry(demo)), parse_dimensions)
    reasons = Counter[str]()
    for at, second in enumerate(hour(demo)):
        arrival_ms = (NOON + at + 1) * 1000
        right = second.prompt + second.late + second.again + demo.totals(1, NOON + at)
        taken, reasons_of_right = judged(acceptor, right, arrival_ms)
        assert (taken, reasons_of_right) == (len(right), []), at
        taken, refused = judged(acceptor, second.wrong, arrival_ms)
        assert (taken, len(refused)) == (0, len(second.wrong)), at
        reasons.update(refused)
    assert len(reasons) >= 7, reasons


def judged(acceptor: Acceptor, events: list[Event], arrival_ms: int) -> tuple[int, list[str]]:
    """How many events are taken, and why the others are not, as ingest judges the bytes that are sent."""
    if not events:
        return 0, []
    lines = b"\n".join(outgoing(e, arrival_ms, bytes(10)).text for e in events)
    batch = NativeReader(Form.LINES).read(lines, 10_000)
    assert isinstance(batch, Batch)
    accepted = acceptor.accept(batch.events, arrival_ms)
    return len(accepted.columns), [one.verdict.reason.value for one in batch.rejected(accepted.rejected)]


@WORLDS
def test_every_metric_is_described_and_every_described_one_is_sent(demo: Demo) -> None:
    described = registry(demo).metrics
    sent = {e["metric"] for second in hour(demo) for e in second.prompt + second.late}
    sent |= {e["metric"] for e in demo.totals(1, NOON)}
    assert sent == set(described)
    for second in hour(demo)[:: 7 * MINUTE]:
        for e in second.prompt + second.late:
            assert set(e["dimensions"]) == set(described[e["metric"]].dimensions), e
    assert all(one.unit and one.description for one in described.values())
    assert all(one.unit and one.description for one in registry(demo).derived.values())


# --- how much ---------------------------------------------------------------------------------------------------------


@WORLDS
def test_the_shares_of_late_repeated_and_wrong_events_are_small_and_there(demo: Demo) -> None:
    for kind, least, most in (("late", 0.003, 0.08), ("again", 0.003, 0.03), ("wrong", 0.0005, 0.01)):
        assert least < share(hour(demo), kind) < most, kind


@WORLDS
def test_a_laptop_stays_calm(demo: Demo) -> None:
    counts = [len(second.all()) for second in hour(demo)]
    assert 40 < fmean(counts) < 200
    assert max(counts) < 2500  # phones that catch up


@WORLDS
def test_late_events_are_minutes_to_hours_old(demo: Demo) -> None:
    ages = [NOON + at - e["timestamp"] / 1000 for at, second in enumerate(hour(demo)) for e in second.late]
    assert min(ages) >= 0
    assert 60 < median(ages) < HOUR
    assert 2 * HOUR < max(ages) < DAY
    assert all(0 <= e["timestamp"] // 1000 - NOON - at < 1 for at, s in enumerate(hour(demo)) for e in s.prompt)


# --- rhythm -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rhythm", [goods.RHYTHM, people.RHYTHM])
def test_nights_are_quiet_evenings_and_weekends_are_busy(rhythm: Rhythm) -> None:
    assert len(rhythm.hours) == 24
    assert len(rhythm.days) == 7
    midnight = NOON - 13 * HOUR  # of people who live an hour east
    assert rhythm.at(midnight + 20 * HOUR) > 2 * rhythm.at(midnight + 3 * HOUR)
    assert rhythm.at(midnight + 6 * DAY) == pytest.approx(rhythm.at(midnight) * rhythm.days[6] / rhythm.days[0])
    assert rhythm.at(midnight + 5 * DAY + 1) > rhythm.at(midnight + 1)
    steps = [rhythm.at(midnight + s) for s in range(0, DAY, MINUTE)]
    assert max(abs(a - b) for a, b in pairwise(steps)) < 0.01


def test_an_episode_rises_and_ends() -> None:
    episode = Episode(10, 25, rise=2)
    at = NOON + 10 * MINUTE
    assert [episode.strength(at + s) for s in (-1, 0, 60, 120, 600, 840, 900)] == [0, 0, 0.5, 1, 1, 0.5, 0]
    assert episode.now(at)
    assert not episode.now(episode.end(at))


def test_chance_belongs_to_its_words() -> None:
    assert chance("a", 1) == chance("a", 1) != chance("a", 2)
    assert fmean(chance("x", n) for n in range(2000)) == pytest.approx(0.5, abs=0.03)
    draw = dice(1, "test")
    assert fmean(how_many(draw, 7.5) for _ in range(2000)) == pytest.approx(7.5, abs=0.3)
    assert fmean(how_many(draw, 400) for _ in range(500)) == pytest.approx(400, rel=0.02)
    ranks = Counter(heavy_tail(draw, 10_000) for _ in range(20_000))
    assert ranks[0] > 5 * ranks[20] > 0
    assert max(ranks) <= 9_999
    assert len(ranks) > 2000
    factors = [drift(1, "x", second) for second in range(0, DAY, 30)]
    assert 0.88 <= min(factors) < 0.93
    assert 1.07 < max(factors) <= 1.12


def test_what_was_sent_again_was_sent_before() -> None:
    client, sent = Resent(1, "app"), list[Event]()
    for second in range(300):
        new: list[Event] = [{"id": f"{second}"}]
        again = client.after(second, new, 0.1)
        assert all(e in sent[-10:] for e in again)
        sent += new
    assert json.dumps(sent)


# --- the shop ---------------------------------------------------------------------------------------------------------


def test_only_what_is_paid_is_an_order() -> None:
    bought = {b.id: b for second in range(NOON, NOON + 300) for b in baskets(1, second)}
    missed = {e["id"] for e in of(SHOP, "stock.missed_orders")}
    orders = Counter(e["id"] for e in of(SHOP, "shop.orders", "shop.revenue", "shop.customers", "shop.checkout_time"))
    assert sum(not basket.paid for basket in bought.values()) > 10
    for basket in bought.values():
        ordered = basket.paid and basket.id not in missed
        assert orders[basket.id] == (4 if ordered else 0)
    assert len(of(SHOP, "payments.attempts")) > len(of(SHOP, "payments.failed")) > 0


def test_revenue_is_price_times_pieces() -> None:
    prices = {product.name: product.price for product in goods.PRODUCTS}
    for e in of(SHOP, "shop.revenue"):
        assert round(e["value"] / prices[e["dimensions"]["product"]], 6) in (1, 2, 3)


def test_shelves_empty_with_the_orders_and_are_filled_up() -> None:
    levels: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for e in sorted(of(SHOP, "stock.level"), key=lambda e: e["timestamp"]):
        key = (e["dimensions"]["warehouse"], e["dimensions"]["product"])
        levels.setdefault(key, []).append((e["timestamp"] // 1000 - NOON, e["value"]))
    assert len(levels) == 3 * len(goods.PRODUCTS)
    for (warehouse, product), points in levels.items():
        number = [one.name for one in goods.PRODUCTS].index(product)
        delivered = delivered_at(warehouse, number)
        assert dict(points)[delivered] == full(warehouse, number)
        assert len(points) == HOUR / 10
        for (_, before), (at, level) in pairwise(points):
            assert 0 <= level <= before or at == delivered
    pieces = sum(full(w, n) for w in goods.WAREHOUSES for n in range(len(goods.PRODUCTS)))
    assert 0.2 * pieces < sum(e["value"] for e in of(SHOP, "stock.delivered")) < pieces


def test_a_campaign_sells_one_product_until_it_is_sold_out() -> None:
    orders, product = by_minute(SHOP, "shop.orders"), goods.PRODUCTS[goods.advertised(NOON)].name
    advertised = by_minute(SHOP, "shop.orders", product=product)
    assert fmean(orders[13:16]) > 1.3 * fmean(orders[2:9])
    assert fmean(advertised[13:16]) > 4 * fmean(advertised[2:9])
    missed = by_minute(SHOP, "stock.missed_orders", product=product)
    assert sum(missed[:10]) == 0 < sum(missed[10:25])


def test_payments_of_one_provider_fail_for_four_minutes() -> None:
    broken = goods.failing(NOON)
    failed = by_minute(SHOP, "payments.failed", provider=broken)
    tried = by_minute(SHOP, "payments.attempts", provider=broken)
    ratios = [f / t for f, t in zip(failed, tried, strict=True)]
    assert min(ratios[40:44]) > 0.8
    assert max(ratios[:40] + ratios[44:]) < 0.15
    orders = by_minute(SHOP, "shop.orders")
    assert fmean(orders[40:44]) < fmean(orders[36:40] + orders[45:49])


def test_the_line_of_a_warehouse_is_down_and_catches_up() -> None:
    for at, second in enumerate(hour(SHOP)):
        lyon = [e for e in second.prompt if e["dimensions"].get("warehouse") == "lyon" and e["metric"] == "stock.level"]
        assert bool(lyon) == (at % 10 == 0 and not 52 <= at / MINUTE < 55)
    caught_up = [e for second in hour(SHOP)[55 * MINUTE : 56 * MINUTE] for e in second.late]
    assert sum(e["metric"] == "stock.level" for e in caught_up) == 18 * len(goods.PRODUCTS)


def test_running_totals_grow_and_begin_anew() -> None:
    series: dict[str, list[float]] = {}
    for second in range(NOON, NOON + 5 * HOUR):
        for e in totals(1, second):
            series.setdefault(e["dimensions"]["server"], []).append(e["value"])
    assert len(series) == 4
    for points in series.values():
        falls = [b for a, b in pairwise(points) if b < a]
        assert falls in ([0], [0, 0])
    assert sum(max(points) for points in series.values()) > 4 * 3 * HOUR


def test_customers_have_a_heavy_tail() -> None:
    counts = Counter(e["value"] for e in of(SHOP, "shop.customers"))
    assert max(counts.values()) > 200
    assert len(counts) > 5000


def test_the_kiosk_is_wrong_in_every_way_and_mostly_after_its_update() -> None:
    sent = [(second, e) for second in range(NOON, NOON + 3 * HOUR) for e in kiosk.wrong(1, second)]
    updated = sum(goods.KIOSK_UPDATE.now(second) for second, _ in sent)
    assert 0.5 < updated / len(sent) < 0.9
    negative = sum(str(e.get("value")).startswith("-") for _, e in sent)
    assert 0.6 * updated < negative < updated


# --- the network ------------------------------------------------------------------------------------------------------


def test_what_is_done_belongs_to_a_post_and_comes_after_it() -> None:
    written = {post.id: post for second in range(NOON - REMEMBERED_S, NOON + 60) for post in posts(1, second)}
    found = [e for second in hour(SOCIAL)[:60] for e in second.prompt if e["metric"] == "social.engagement"]
    assert len(found) > 500
    for e in found:
        post = written[e["id"].rpartition("-")[0]]
        assert e["timestamp"] > post.at_ms
        assert e["dimensions"]["tag"] == post.tag


def test_the_first_reply_is_the_time_from_the_post_to_its_first_comment() -> None:
    for post in [post for second in range(NOON, NOON + 100) for post in posts(1, second)]:
        done = sorted(actions(1, post), key=lambda action: action.at_ms)
        comments = [action for action in done if action.what == "comment"]
        replies = [action for action in done if action.reply_s is not None]
        assert len(done) == post.actions
        assert replies[:1] == comments[:1]
        assert len(replies) == min(len(comments), 1)
        assert all(a.reply_s == pytest.approx((a.at_ms - post.at_ms) / 1000, abs=0.06) for a in replies)


def test_a_trend_and_a_viral_post_go_up_and_pass() -> None:
    tag = people.trend(NOON)
    trending = by_minute(SOCIAL, "social.engagement", tag=tag)
    everything = by_minute(SOCIAL, "social.engagement")
    assert trending[0] < 20
    assert max(trending[10:20]) > 0.3 * everything[trending.index(max(trending[10:20]))]
    assert fmean(everything[10:16]) > 1.4 * fmean(everything[:7])
    assert fmean(everything[55:]) < 1.3 * fmean(everything[:7])
    counts = Counter(e["dimensions"]["tag"] for e in of(SOCIAL, "social.engagement"))
    assert len(counts) > 200
    assert counts.most_common(1)[0][0] == tag


def test_the_gateway_is_down_and_phones_tell_later() -> None:
    for at, second in enumerate(hour(SOCIAL)):
        mobile = [e for e in second.prompt if e["dimensions"].get("platform") in people.MOBILE]
        assert not mobile or not 48 <= at / MINUTE < 52
    late = [e for second in hour(SOCIAL)[52 * MINUTE : 53 * MINUTE] for e in second.late]
    minutes = Counter((e["timestamp"] // 1000 - NOON) // MINUTE for e in late if e["metric"] == "social.engagement")
    assert set(minutes) == {48, 49, 50, 51}
    assert min(minutes.values()) > 200


def test_a_release_crashes_and_a_wave_of_spam_is_reported() -> None:
    crashes, reports = by_minute(SOCIAL, "social.crashes"), by_minute(SOCIAL, "social.reported")
    assert fmean(crashes[21:24]) > 20 * fmean(crashes[:20])
    assert fmean(reports[31:33]) > 10 * fmean(reports[:30])
    android = by_minute(SOCIAL, "social.engagement", platform="android")
    assert fmean(android[21:24]) < 0.6 * fmean(android[26:30])


def test_a_user_is_always_in_one_place() -> None:
    places: dict[str, set[tuple[str, ...]]] = {}
    for e in of(SOCIAL, "social.active_users"):
        places.setdefault(e["value"], set()).add(tuple(sorted(e["dimensions"].items())))
    assert len(places) > 5000
    assert all(len(found) == 1 for found in places.values())


def test_the_importer_runs_once_an_hour() -> None:
    counts = Counter((s - NOON) // MINUTE for s in range(NOON, NOON + HOUR) for _ in importer.wrong(1, s))
    assert counts[40] + counts[41] > 0.6 * counts.total()
