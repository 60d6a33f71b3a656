"""Which models serve each deployment, and by which split: kept up with the board and the store."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from serinus.core.deployment import Deployment
from serinus.core.ledger import Ledger, outside
from serinus.core.routing import Role, Split
from serinus.gateway.arms import Arm, arm_of, as_baseline, counted
from serinus.gateway.served import Served
from serinus.loaded import LoadedModels, cause_of
from serinus.ports import Board, Store

RETRY_S = 5.0
"""How often what could not be loaded is tried again."""
CANARY_PATIENCE_S = 10.0
"""How long a gateway that starts waits for canaries' models once every baseline is ready."""
LOOK_S = 0.1


class Following:
    """Follows the splits on the board and the states in the store, for one gateway."""

    def __init__(  # noqa: PLR0913 - named parts, put together by the gateway
        self,
        gateway: str,
        *,
        store: Store,
        board: Board,
        loaded: LoadedModels,
        ledger: Ledger,
        on_trouble: Callable[[str], None],
        on_state: Callable[[Deployment], None],
        on_cut: Callable[[Split], None],
        retry_interval_s: float,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._board = board
        self._loaded = loaded
        self._ledger = ledger
        self._on_trouble = on_trouble
        self._on_state = on_state
        self._on_cut = on_cut
        self._retry_interval_s = retry_interval_s
        self.served: dict[str, Served] = {}
        self._told: dict[str, Split | None] = {}
        self._newest: dict[str, Split] = {}
        self._troubles: dict[str, str] = {}
        self._refreshing: dict[str, asyncio.Task[None]] = {}
        self._stale: set[str] = set()
        self._retrying: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the models of all live deployments, then follow the board."""
        for state in await self._store.deployments():
            self._refresh(state.name)
        until = asyncio.get_running_loop().time() + CANARY_PATIENCE_S
        await self._settled(until)
        await self._board.join(self._gateway, self._on_split)
        await self._settled(until)
        for name in self._refreshing:
            self._note(name, "its models are still being loaded; until they are, a canary of it gets no traffic")
        self._retrying = asyncio.create_task(self._keep_retrying(), name="retry")

    async def stop(self) -> None:
        """Take up nothing more; the gateway is still on the board."""
        tasks = [*self._refreshing.values(), *([self._retrying] if self._retrying else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def knows(self, deployment: str) -> bool:
        """Say whether a deployment that is not served here is on its way."""
        return deployment in self._refreshing or self._told.get(deployment) is not None

    def notice(self, states: Iterable[Deployment]) -> None:
        """Take up what the store knows and the board has not told of."""
        for state in states:
            served = self.served.get(state.name)
            busy = state.name in self._refreshing or state.name in self._troubles  # these are tried again anyway
            if not busy and (served is None or served.state.generation < state.generation):
                self._refresh(state.name)

    def troubles(self) -> dict[str, str]:
        """Say which deployments cannot be served as they should be, and why."""
        return dict(self._troubles)

    def retry_troubled(self) -> None:
        """Try again to load what could not be loaded."""
        for name in self._troubles.keys() - self._refreshing.keys():
            self._refresh(name)

    async def _keep_retrying(self) -> None:
        while True:
            await asyncio.sleep(self._retry_interval_s)
            self.retry_troubled()

    def _on_split(self, deployment: str, raw: object) -> None:
        """Take a change on the board: less traffic at once, more when the model for it is here."""
        split, newest = Split.decoded(raw), self._newest.get(deployment)
        if split is not None and newest is not None:
            if split.generation < newest.generation:
                return  # of a board that has lost what was newer
            if split.cut is None and split.rollout == newest.rollout:
                split = replace(split, cut=newest.cut)  # likewise
        self._told[deployment] = split
        if split is not None:
            self._newest[deployment] = split
            if split.cut is not None:
                self._on_cut(split)
        served = self.served.get(deployment)
        if served is not None:
            self._follow(served)
        if split is not None and (served is None or split.generation > served.state.generation):
            self._refresh(deployment)

    def _follow(self, served: Served) -> None:
        """Serve by the newest split the board has told of, unless it is older than what is served."""
        state, split = served.state, self._told.get(served.state.name)
        if split is not None and split.generation < state.generation:
            split = None
        self.served[state.name] = self._under(served, split)
        self._let_baselines_first()
        if split is not None and (split.generation == state.generation or _is_another_share(state, split)):
            self._board.acknowledge(self._gateway, state.name, split.stamp)

    def _let_baselines_first(self) -> None:
        """Let canaries have the processor after baselines; a version that is both is a baseline."""
        canaries = {arm.predictor for each in self.served.values() if (arm := each.canary) is not None}
        baselines = {each.baseline.predictor for each in self.served.values()}
        for predictor in baselines:
            predictor.yield_to_others(False)  # noqa: FBT003 - the one question it is
        for predictor in canaries - baselines:
            predictor.yield_to_others(True)  # noqa: FBT003 - likewise

    def _refresh(self, deployment: str) -> None:
        self._stale.add(deployment)
        if deployment not in self._refreshing:
            self._refreshing[deployment] = asyncio.create_task(self._catch_up(deployment), name=f"refresh {deployment}")

    async def _settled(self, until: float) -> None:
        """Wait until all is up to date; from a time of the loop on, only for deployments that are not served yet."""
        while self._refreshing:
            left_s = until - asyncio.get_running_loop().time()
            if left_s <= 0 and self._refreshing.keys() <= self.served.keys():
                return
            await asyncio.wait(self._refreshing.values(), timeout=max(left_s, LOOK_S))

    async def _catch_up(self, deployment: str) -> None:
        try:
            while deployment in self._stale:
                self._stale.discard(deployment)
                try:
                    trouble = await self._bring_up_to_date(deployment)
                except Exception as failure:  # noqa: BLE001 - what keeps one deployment from being served stays with it
                    trouble = cause_of(failure)
                if deployment not in self._stale:
                    self._note(deployment, trouble)
        finally:
            # In the same step as the last look at what is stale, so that no change falls between the two.
            del self._refreshing[deployment]

    def _note(self, deployment: str, trouble: str) -> None:
        if trouble and trouble != self._troubles.get(deployment):
            self._on_trouble(f"{deployment}: {trouble}")
        if trouble:
            self._troubles[deployment] = trouble
        else:
            self._troubles.pop(deployment, None)

    async def _bring_up_to_date(self, deployment: str) -> str:
        """Serve a deployment by its state in the store; give what is wrong with it, "" if nothing is."""
        state = await self._store.deployment(deployment)
        if state is None:
            return ""
        self._on_state(state)
        newest = self._newest.get(deployment)
        if newest is not None and newest.cut is not None and newest.cut.promised and newest.rollout == state.promoted:
            return "a promotion gives way to a rollback that came before it"
        async with self._loaded.holding(*state.versions):  # others may finish first, and release what none serves yet
            baseline = arm_of(state, Role.BASELINE, state.reference, await self._loaded.get(state.reference))
            if deployment not in self.served:  # a canary's model may take its time
                self.served[deployment] = self._under(Served(state, baseline, None), None)
            canary, trouble = await self._canary(state, baseline)
            self._serve(Served(state, baseline, canary))
        told = self._told.get(deployment)
        if told is not None and told.generation > state.generation:
            return f"the board is at generation {told.generation}, the store at {state.generation}"
        return trouble

    def _under(self, served: Served, split: Split | None) -> Served:
        """Serve by another split; from now on both roles are counted under it."""
        state, canary = served.state, served.canary
        if split is None or state.active is None or split.rollout != state.active.id:
            # A split of the state's own generation that says otherwise than the state is no promotion.
            newer = split is not None and split.generation > state.generation and not split.rollout
            if canary is not None and split is not None and newer and split.baseline == canary.name:
                # It goes on, without a request going back to the old baseline.
                return Served(state, self._counted(as_baseline(canary), outside(state.name), 0), None)
            return Served(state, self._counted(served.baseline, outside(state.name), 0), canary)
        if split.cut is not None:
            return Served(state, self._counted(served.baseline, split.rollout, split.split_version), None, split)
        return Served(
            state,
            self._counted(served.baseline, split.rollout, split.split_version),
            canary and self._counted(canary, split.rollout, split.split_version),
            split,
        )

    def _counted(self, arm: Arm, rollout: str, split_version: int) -> Arm:
        under = counted(arm, rollout, split_version)
        self._ledger.tally(under.key)  # at zero, so that the first request is not the first that is seen
        return under

    async def _canary(self, state: Deployment, baseline: Arm) -> tuple[Arm | None, str]:
        """Give the canary, or why it gets no traffic; what an undo would need is loaded besides."""
        canary, trouble = None, ""
        if state.active is not None:
            ref = state.active.canary
            try:
                new = await self._loaded.get(ref)
            except Exception as failure:  # noqa: BLE001 - nothing about a canary may keep the baseline from being served
                trouble = f"the canary {ref} gets no traffic: {cause_of(failure)}"
            else:
                order = baseline.predictor.version.signature.reordering(new.version.signature)
                canary = replace(arm_of(state, Role.CANARY, ref, new), order=order)
        for earlier in state.previous[-1:]:
            with suppress(Exception):  # `undo` loads it again, and says then what is wrong with it
                await self._loaded.get(earlier)
        return canary, trouble

    def _serve(self, served: Served) -> None:
        state = served.state
        self._follow(served)
        last = {state.rollout.id} if state.rollout else set()
        self._ledger.fold(state.name, frozenset(last | {outside(state.name)}))
        self._loaded.retain(ref for each in self.served.values() for ref in each.state.versions)


def _is_another_share(state: Deployment, split: Split) -> bool:
    """Whether a split newer than the state only gives the canary another share: then it is in force without a look."""
    rollout = state.active
    if rollout is None or split.rollout != rollout.id:
        return False
    next_share = (split.generation, split.split_version) == (state.generation + 1, rollout.split_version + 1)
    return next_share or split.cut is not None
