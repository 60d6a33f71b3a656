"""The acts of the story, told one after the other while they happen."""

import time
from collections.abc import Callable, Sequence

from serinus.client import DocumentClient
from serinus.examples.heart_disease import pages, story
from serinus.examples.heart_disease.models import Candidate, features_of, patients, refusals
from serinus.examples.heart_disease.narrator import Narrator
from serinus.examples.heart_disease.story import DEPLOYMENT, Document, Look, Release, Stage
from serinus.examples.heart_disease.traffic import Tally, Traffic

ALONE_S = 1.0
"""Seconds for which the first version is shown alone."""
SETTLE_S = 0.6
"""Seconds in which the server puts up the counts of a canary's last moments: it does so every quarter."""

Trained = Callable[[], Sequence[Candidate]]


def tell(narrator: Narrator, url: Callable[[], str], trained: Trained, patience_s: float) -> bool:
    """Tell the story, and give whether it came true.

    Args:
        narrator: tells it. url: waits for the server. trained: gives the three versions.
        patience_s: how long one verdict may be waited for.
    """
    narrator.title("Serinus demo", "a bad release and a good one, on 303 real patients, over HTTP")
    narrator.heading(1, "Three versions of a model that tells heart disease (data: UCI, Cleveland)")
    with narrator.waiting("Starting a server and training the models"):
        candidates, everybody, where = trained(), patients(), url()
    with DocumentClient(where, actor="demo") as client:
        versions = story.register(client, candidates)
        first, second, third = versions
        narrator.show(pages.candidates(versions, candidates, narrator.screen))
        _point_out_the_trap(narrator, second, candidates)
        narrator.heading(2, f"{first['ref']} goes into production as {DEPLOYMENT}")
        narrator.show(pages.rule(story.deploy(client, first)))
        good = None
        with Traffic(where, DEPLOYMENT, features_of(everybody)) as traffic:
            stage = Stage(client, traffic, patience_s)
            _alone(narrator, stage, first)
            bad = _bad_release(narrator, stage, first, second)
            if bad.did("rolled_back"):
                _afterwards(narrator, stage, candidates[1], versions)
                good = _good_release(narrator, stage, first, third)
        narrator.heading(5, "What is on record")
        narrator.show(pages.record(client.events(DEPLOYMENT, limit=1000), narrator.screen))
        narrator.gap()
        narrator.copyable(pages.see_more())
        serving = str(client.deployment(DEPLOYMENT).get("baseline"))
    return _conclude(narrator, traffic.total(), bad, good, serving, str(third["ref"]))


def _point_out_the_trap(narrator: Narrator, version: Document, candidates: Sequence[Candidate]) -> None:
    if max(candidates, key=lambda each: each.accuracy) is not candidates[1]:
        return
    narrator.gap()
    narrator.say((f"{version['ref']} looks best.", "bold"), " But in its data no value is missing and no patient has")
    narrator.say("ca = 3, thal = 6 or slope = 3, in training as in the test. Real patients do.")


def _alone(narrator: Narrator, stage: Stage, version: Document) -> None:
    time.sleep(ALONE_S)
    tally = stage.traffic.total()
    narrator.say(f"Patients arrive, {pages.PACE}.")
    narrator.say(f"{version['ref']} has answered {tally.answered[str(version['ref'])]} so far; {tally.failed} failed.")


def _bad_release(narrator: Narrator, stage: Stage, baseline: Document, version: Document) -> Release:
    ref = str(version["ref"])
    narrator.heading(3, f"{ref} gets {story.FIRST_SHARE:g} % of the traffic")
    tally = story.start(stage, version, "the best accuracy")
    for warning in story.release(stage.client, ref).warnings:
        narrator.say(("Serinus warns: ", "yellow"), f"{warning}.")
    with narrator.moving() as picture:
        story.until_it_ends(stage, ref, tally, _shower(narrator, picture))
        time.sleep(SETTLE_S)
    narrator.gap()
    life, so_far = story.release(stage.client, ref), stage.traffic.total()
    narrator.show(pages.verdict(life, narrator.screen))
    narrator.gap()
    for sentence in pages.what_it_cost(life, str(baseline["ref"]), so_far):
        narrator.show(sentence)
    return life


def _afterwards(narrator: Narrator, stage: Stage, candidate: Candidate, versions: Sequence[Document]) -> None:
    """Let traffic go on, and meanwhile ask the version that was rolled back about everybody."""
    first, second = (str(version["ref"]) for version in versions[:2])
    tally = stage.traffic.phase()
    everybody = patients()
    with narrator.waiting(f"Asking {second} about all {len(everybody)} patients, away from the traffic"):
        failed = refusals(candidate, everybody)
    narrator.say(f"Since the rollback: {tally.requests} requests, {tally.answered[first]} of them answered by {first}.")
    narrator.say(
        f"Switched on for everybody, {second} would have failed ",
        (f"{failed} of the {len(everybody)} patients", "bold"),
        f" ({100 * failed / len(everybody):.1f} %).",
    )


def _good_release(narrator: Narrator, stage: Stage, baseline: Document, version: Document) -> Release:
    ref = str(version["ref"])
    narrator.heading(4, f"{ref} follows a plan, each step by the evidence")
    tally = story.start_by_plan(stage, version, "the first one, tuned")
    narrator.show(pages.plan(stage.client.deployment(DEPLOYMENT), str(baseline["ref"])))
    told = 0
    while True:
        with narrator.moving() as picture:
            done = story.until_it_moves(stage, ref, tally, told, _shower(narrator, picture))
        if done is None:
            narrator.say(("Nothing more happened in time.", "bold red"))
            break
        told += 1
        narrator.show(pages.move(done, ref, narrator.screen))
        if done.kind in story.LAST:
            break
    narrator.say(
        f"{ref} answered {tally.answered[ref]} of {tally.requests} requests; callers without an answer: {tally.failed}."
    )
    return story.release(stage.client, ref)


def _shower(narrator: Narrator, picture: Callable[..., None]) -> Callable[[Look], None]:
    return lambda look: picture(pages.moment(look, narrator.screen), pages.line(look))


def _conclude(
    narrator: Narrator, callers: Tally, bad: Release, good: Release | None, serving: str, wanted: str
) -> bool:
    """Hold what happened against what the story promises."""
    caught = bad.did("auto_rollback_triggered", "rolled_back")
    promoted = good is not None and good.did("traffic_adjusted", "auto_promotion_triggered", "promoted")
    baked = good is not None and good.did("bake_ended")
    statuses = ", ".join(f"{status}: {count}" for status, count in callers.statuses.items())
    facts = (
        (caught, f"{bad.ref} was rolled back by the health checker", f"{bad.ref} was not rolled back"),
        (
            callers.requests > 0 and not callers.failed,
            f"all {callers.requests} requests were answered with status 200",
            f"{callers.failed} of {callers.requests} requests were not answered with status 200 ({statuses})",
        ),
        (promoted, f"{wanted} was promoted by the health checker", f"{wanted} was not promoted by the health checker"),
        (baked, f"{wanted} was compared for a while after that, and stays", f"the bake of {wanted} did not end"),
        (serving == wanted, f"{DEPLOYMENT} serves {serving}", f"{DEPLOYMENT} serves {serving}, not {wanted}"),
    )
    narrator.gap()
    for came_true, sentence, otherwise in facts:
        narrator.fact(sentence if came_true else otherwise, came_true=came_true)
    return all(came_true for came_true, _, _ in facts)
