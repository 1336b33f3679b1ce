"""One update attempt, from the first pull to its end: completed, or with everything as it was before (protocol 5.4).

docs/decisions/0014-updates-keep-the-old-containers-until-proven.md has the order of writes, docs/updates.md says what
each way of failing leaves.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable, Final, Optional, Union

from dockpal_agent.apps import ending, tags
from dockpal_agent.apps.ending import End, Parts
from dockpal_agent.apps.fetching import NotPulled, fetch
from dockpal_agent.apps.gate import Gate, Interrupted
from dockpal_agent.apps.notes import Note, NotesFailed
from dockpal_agent.apps.recreation import recreate
from dockpal_agent.apps.selection import Held, Updatable, chosen, digest_of, digests_of, held_by, updatable
from dockpal_agent.apps.stages import ErrorCode, Stage
from dockpal_agent.apps.window import MIN_AGE, seconds_young
from dockpal_agent.compose.apply import ConvergeFailed
from dockpal_agent.compose.errors import ComposeError
from dockpal_agent.compose.hooks import HookFailed
from dockpal_agent.compose.lanes import QueueFull, Stopping
from dockpal_agent.compose.locks import Locked
from dockpal_agent.compose.plan import PlanRefused
from dockpal_agent.compose.prepare import NameClash, NoHostPath
from dockpal_agent.compose.stored import StoredFailed
from dockpal_agent.compose.waiting import DependencyFailed
from dockpal_agent.containers import image_change
from dockpal_agent.containers.image_change import CannotEdit
from dockpal_agent.containers.journal import JournalFailed
from dockpal_agent.containers.own import Protected
from dockpal_agent.containers.proof import NotProven
from dockpal_agent.containers.replace import ReplacementFailed
from dockpal_agent.containers.turns import Busy
from dockpal_agent.engine import EngineError, EngineRefused, NotFound, images
from dockpal_agent.images.check import ImageUpdateResult

__all__ = ["Attempt"]

log = logging.getLogger(__name__)

TURN_WITHIN: Final = 86400.0  # seconds for the project's other changes and our own; the agent's end ends it sooner

# What a redeploy may refuse, or fail of, without having touched anything. The text is for the user.
REFUSALS: Final = (
    Busy,
    CannotEdit,
    ComposeError,
    EngineError,
    JournalFailed,
    Locked,
    NameClash,
    NoHostPath,
    PlanRefused,
    Protected,
    QueueFull,
    Stopping,
    StoredFailed,
)


class _Failed(Exception):
    """The attempt ends here; what has to be put back was."""

    def __init__(self, end: End) -> None:
        super().__init__(end.message)
        self.end: Final = end


class Attempt:
    """One attempt, whose record has begun; `run` does all of it, in the caller's thread, and never raises.

    `services` are those whose images are pulled; None stands for all that a registry may have newer images of.
    """

    def __init__(
        self, parts: Parts, attempt_id: str, app: str, project: str, services: Optional[Collection[str]] = None
    ) -> None:
        self._parts: Final = parts
        self._engine: Final = parts.engine
        self._id: Final = attempt_id
        self._app: Final = app
        self._project: Final = project
        self._services: Final = services
        self._note = Note(attempt_id, project)
        self._new: dict[str, Mapping[str, Any]] = {}  # inspects of the new images by reference
        self._proven: dict[str, str] = {}  # ids of those that the gate has seen run, by the same
        self._others: frozenset[str] = frozenset()  # services that the stored Compose file does not bring up
        self._left: list[Held] = []  # their containers that are outdated

    def run(self) -> None:
        """Update, and record the end."""
        try:
            end = self._update()
        except _Failed as failed:
            end = failed.end
        except EngineError as error:  # before the first pull: nothing else lets one through
            end = self._undone(str(error), Stage.FAILED, ErrorCode.PULL_ERROR)
        except Exception as error:  # the boundary of a thread
            log.exception("app %s: the update failed unexpectedly", self._app)
            end = self._lost(error)
        ending.record(self._parts, self._note, end)

    def _update(self) -> End:
        held = held_by(self._engine, self._project)
        self._guard(held)
        wanted = updatable(self._engine, held)
        if self._services is not None:
            wanted = replace(wanted, references=chosen(held, wanted.references, self._services))
        if not wanted.references:
            why = f"nothing to update: {'; '.join(wanted.left)}" if wanted.left else "already up to date"
            return End(Stage.COMPLETED, why)
        self._remember(held, wanted.references)
        pulled, left = self._pull(wanted)
        left += self._look_at_new(held, pulled)
        if not self._note.new:
            return End(Stage.COMPLETED, "; ".join(["already up to date", *left]))
        words = self._bring_up()
        self._parts.choices.release(self._project, self._proven)
        return End(Stage.COMPLETED, "; ".join([words, *left, *self._leave_others()]))

    def _guard(self, held: Sequence[Held]) -> None:
        """Refuse the agent's own project, and what is protected, before anything is pulled."""
        try:
            for one in held:
                self._parts.own.guard(one.found, "update")
        except Protected as error:
            raise _Failed(End(Stage.FAILED, f"{error}; {ending.UNTOUCHED}", ErrorCode.COMPOSE_ERROR)) from error

    def _remember(self, held: Sequence[Held], references: Sequence[str]) -> None:
        """Write the way back. What others under way have moved goes back to what it meant before them; they are asked
        first, as one that ends meanwhile has given its tags back by then.
        """
        shared = self._parts.notes.meant(references)
        before = {**tags.meanings(self._engine, references), **shared}
        self._note = replace(self._note, tags=before, old=_images_of(held))
        self._write_note()

    def _write_note(self) -> None:
        try:
            self._parts.notes.write(self._note)
        except NotesFailed as error:
            raise _Failed(self._undone(str(error), Stage.FAILED, ErrorCode.PULL_ERROR)) from error

    def _pull(self, wanted: Updatable) -> tuple[list[str], list[str]]:
        """(the references that were pulled, a line for each that was left). Raises _Failed, all tags given back.

        One that nobody can tell from an image built here, and that no registry has ever known, may be just that: it is
        left, unless nothing else is there to update.
        """
        pulled: list[str] = []
        spared: list[NotPulled] = []
        for reference in wanted.references:
            self._say(Stage.PULLING, f"pulling {reference}")
            try:
                fetch(self._parts, reference)
                pulled.append(reference)
                self._note_pulled(reference)
            except NotPulled as failure:
                if reference not in wanted.doubtful or self._parts.checks.said(reference).remote_digest:
                    raise _Failed(self._undone(str(failure), Stage.FAILED, failure.error_code)) from failure
                spared.append(failure)
        if spared and not pulled:
            raise _Failed(self._undone(str(spared[0]), Stage.FAILED, spared[0].error_code))
        return pulled, [f"left as it is: {failure}" for failure in spared]

    def _note_pulled(self, reference: str) -> None:
        """What the reference means now is ours to take back; what somebody else makes of it is not."""
        try:
            meaning = image_change.id_of(self._engine, reference)
        except EngineError as error:
            raise _Failed(self._undone(str(error), Stage.FAILED, ErrorCode.PULL_ERROR)) from error
        self._note = replace(self._note, pulled={**self._note.pulled, reference: meaning})
        self._write_note()

    def _look_at_new(self, held: Sequence[Held], references: Sequence[str]) -> list[str]:
        """What the references mean now, and for whom that is new; a line for each that is left after all. An image that
        this host cannot run is refused.
        """
        try:
            self._new = {reference: images.inspect(self._engine, reference) for reference in references}
            self._note_checks()
            left = [] if self._services is None else self._leave_young(held)
            for one in self._changed(held):
                image_change.check_platform(self._engine, one.found, self._new[one.reference], one.reference)
        except CannotEdit as error:
            self._quarantine()
            raise _Failed(self._undone(str(error), Stage.FAILED, ErrorCode.PULL_ERROR)) from error
        except EngineError as error:
            raise _Failed(self._undone(str(error), Stage.FAILED, ErrorCode.PULL_ERROR)) from error
        if self._changed(held):
            self._note_new(held)
        return left

    def _leave_young(self, held: Sequence[Held]) -> list[str]:
        """Give those tags back that moved on, between the registry's answer and the pull, to images which are not yet
        as old as a label asks for; a line for each. Raises EngineError.
        """
        left = []
        for one in self._changed(held):
            if one.reference not in self._new:
                continue
            text = self._parts.choices.labels(one.member, self._project).get(MIN_AGE, "")
            said, now = self._parts.checks.said(one.reference), time.time()
            known = said.remote_digest in digests_of(self._new[one.reference], one.reference)
            if seconds_young(text, said.first_seen_at if known else now, now) > 0:
                before = self._parts.notes.latest(self._note).tags[one.reference]
                tags.set_meaning(self._engine, one.reference, before)
                del self._new[one.reference]
                left.append(f"left as it is: {one.reference} has moved on to an image that is not {text} old yet")
        return left

    def _note_new(self, held: Sequence[Held]) -> None:
        new = {one.member.service: str(self._new[one.reference]["Id"]) for one in self._changed(held)}
        note = replace(self._note, old=_images_of(held), new=new)
        if note != self._note:
            self._note = note
            self._write_note()

    def _note_checks(self) -> None:
        """Lists say at once what was pulled, and what the registry has now."""
        for reference, image in self._new.items():
            self._parts.checks.note_image(image)
            digests = digests_of(image, reference)
            if len(digests) == 1:
                result = ImageUpdateResult(False, digests[0], digests[0], checked_at=int(time.time()))
                self._parts.checks.note(reference, result)

    def _changed(self, held: Sequence[Held]) -> list[Held]:
        """The containers that do not run what their reference means now, and may."""
        return [one for one in self._outdated(held) if one.member.service not in self._others]

    def _outdated(self, held: Sequence[Held]) -> list[Held]:
        return [one for one in held if one.reference in self._new and self._new[one.reference]["Id"] != one.image_id]

    def _leave_others(self) -> list[str]:
        """A line for services that a redeploy does not bring up: their images are not pulled by themselves again until
        the tags move on, as that would be in vain.
        """
        vain = {one.reference: self._remote(one.reference) for one in self._left}
        self._parts.choices.quarantine(self._project, vain)
        services = ", ".join(sorted({one.member.service for one in self._left}))
        return [f"left as it is: {services}, not in the stored Compose file"] if services else []

    def _bring_up(self) -> str:
        """Recreate what changed, in the project's turn; what was done, and what the gate saw."""
        try:
            work = self._parts.deploys.change(self._project, f"update {self._id}", self._recreate)
            words: str = work.wait(TURN_WITHIN)
        except (ConvergeFailed, ReplacementFailed) as failure:
            raise _Failed(self._not_proven(failure)) from failure
        except (*REFUSALS, TimeoutError) as refusal:
            stage = Stage.FAILED if self._stage is Stage.PULLING else Stage.ROLLED_BACK
            raise _Failed(self._undone(f"the app could not be brought up: {refusal}", stage)) from refusal
        return words

    def _recreate(self) -> str:
        """Alone among the project's changes. What was there when the pull began may have changed since."""
        held = held_by(self._engine, self._project)
        if not held:
            return "the app was removed meanwhile"
        stored = self._parts.deploys.is_stored(self._project)
        if stored:
            in_file = self._parts.deploys.services(self._project)
            self._others = frozenset(one.member.service for one in held) - in_file
            self._left = [one for one in self._outdated(held) if one.member.service in self._others]
        changed = self._changed(held)
        if not changed and self._left:
            return "nothing was recreated"
        if not changed:
            return "already up to date: another change brought the new images up meanwhile"
        self._note_new(held)
        services = ", ".join(sorted({one.member.service for one in changed}))
        self._say(Stage.RECREATING, f"recreating {services}", self._shown(held))
        gate = Gate(
            self._engine,
            self._parts.grace,
            known=[one.member.id for one in held],
            unwell=[one.member.id for one in held if one.unwell],
            stopping=self._parts.stopping,
        )

        def judge(ids: Mapping[str, str]) -> None:
            self._say(Stage.VERIFYING, f"watching for {self._parts.grace:g} s")
            gate(ids)
            seen = {one.reference for one in changed if one.member.name in ids}
            self._proven = {reference: str(self._new[reference]["Id"]) for reference in seen}

        for reference, image in self._new.items():  # another app's way back may have moved the tag since
            tags.set_meaning(self._engine, reference, str(image["Id"]))
        if stored:
            chosen = {one.member.service for one in changed}
            self._parts.deploys.redeploy(self._project, judge, new_images_for=chosen)
        else:
            self._recreate_each(held, changed, judge)
        if not gate.summary:
            return "nothing was recreated: the stored Compose file asks for nothing new"
        return "; ".join([f"{services} updated; {gate.summary}", *self._prove()])

    def _prove(self) -> list[str]:
        """The references mean the new images for good, whatever becomes of others that share them; what cannot be.

        What no container has run yet, as all that would were stopped, is nothing for others to go back to.
        """
        self._parts.notes.proven(self._note, self._proven)
        problems = []
        for reference, image in self._new.items():
            try:
                tags.set_meaning(self._engine, reference, str(image["Id"]))
            except EngineError as error:
                problems.append(f"the tag {reference} means another image here: {error}")
        return problems

    def _recreate_each(
        self, held: Sequence[Held], changed: Sequence[Held], judge: Callable[[Mapping[str, str]], None]
    ) -> None:
        """Without a file: each container from what Docker knows of it."""
        unchanged = {one.member.name: one.member.id for one in held if one.in_motion}
        recreate(
            self._engine,
            self._parts.replacements,
            f"update of {self._app}",
            held,
            {one.member.id: str(self._new[one.reference]["Id"]) for one in changed},
            lambda ids: judge({**unchanged, **ids}),
        )

    def _shown(self, held: Sequence[Held]) -> dict[str, dict[str, str]]:
        """What the record says of each service."""
        found: dict[str, dict[str, str]] = {}
        for one in held:
            shown = found.setdefault(one.member.service, {"image": one.reference})
            if "previous_digest" in shown:
                continue
            shown["previous_digest"] = self._known_as(one)
            if one.reference in self._new and one.member.service not in self._others:
                shown["new_digest"] = self._remote(one.reference)
        return found

    def _known_as(self, one: Held) -> str:
        try:
            return digest_of(images.inspect(self._engine, one.image_id), one.reference)
        except NotFound:
            return one.image_id

    def _not_proven(self, failure: Union[ConvergeFailed, ReplacementFailed]) -> End:
        """A redeploy that failed after the first touch, and was undone, or not.

        What Docker refuses to start is refused the next time, too, after the app was stopped for it: once is enough.
        """
        cause = failure.__cause__
        judged = isinstance(cause, (NotProven, DependencyFailed)) and not isinstance(cause, Interrupted)
        if judged or (failure.began_start and isinstance(cause, (EngineRefused, HookFailed))):
            self._quarantine()
        if not failure.restored:
            return self._undone(str(failure), Stage.FAILED, ErrorCode.ROLLBACK_FAILED)
        code = ErrorCode.HEALTH_PROBE_FAILED if judged else ErrorCode.COMPOSE_ERROR
        return self._undone(str(failure), Stage.ROLLED_BACK, code)

    def _undone(self, words: str, stage: Stage, code: ErrorCode = ErrorCode.COMPOSE_ERROR) -> End:
        """Give the tags back; the end that says so."""
        note: Optional[Note] = None
        problems: list[str] = []
        away = False
        while note != self._parts.notes.latest(self._note):  # another attempt proves one at this moment
            given = [] if note is None else [*note.tags.values()]
            note = self._parts.notes.latest(self._note)
            problems, away = tags.give_back(self._engine, note, given=given)
        said = [words, *problems, *([ending.LATER] if away else [])]
        if stage is Stage.FAILED and code is not ErrorCode.ROLLBACK_FAILED and ending.UNTOUCHED not in words:
            said.append(ending.UNTOUCHED)
        return End(stage, "; ".join(said), code, again=away)

    def _quarantine(self) -> None:
        """Not again by itself, until the tags move on."""
        changed = {reference: image for reference, image in self._new.items() if self._is_new(image)}
        self._parts.choices.quarantine(self._project, {reference: self._remote(reference) for reference in changed})

    def _remote(self, reference: str) -> str:
        """What the registry calls the new image, as the monitor hears it."""
        return digest_of(self._new[reference], reference, self._parts.checks.said(reference).remote_digest)

    def _is_new(self, image: Mapping[str, Any]) -> bool:
        return not any(image["Id"] in images_before for images_before in self._note.old.values())

    def _lost(self, error: Exception) -> End:
        """The end after a defect of the agent's own: Docker is asked what stands."""
        words = f"the agent failed on this update ({type(error).__name__}); its log says more"
        try:
            return ending.found(self._engine, self._parts.notes.latest(self._note), self._stage, words)
        except EngineError as away:
            said = f"{words}; {away}; {ending.LATER}"
            return End(Stage.FAILED, said, ErrorCode.ROLLBACK_FAILED, again=True)

    @property
    def _stage(self) -> Stage:
        return self._parts.records.get(self._id).stage

    def _say(self, stage: Stage, message: str, services: Optional[Mapping[str, Mapping[str, str]]] = None) -> None:
        self._parts.records.move(self._id, stage, message, services=services)


def _images_of(held: Sequence[Held]) -> dict[str, list[str]]:
    """The images that each service runs."""
    found: dict[str, list[str]] = {}
    for one in held:
        if one.image_id not in found.setdefault(one.member.service, []):
            found[one.member.service].append(one.image_id)
    return found
