"""A worker's messages, beside what TorchServe's own functions make of them."""

import socket
import struct
import threading

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from ts import service
from ts.context import Context, RequestProcessor
from ts.protocol import otf_message_handler
from ts.service import Service

from handler.worker_messages import BufferedConnection, answer_message, shorten_messages

END = struct.pack("!i", -1)
texts = st.text(max_size=20)
sent_texts = texts.map(str.encode)
pairs = st.lists(st.tuples(sent_texts, sent_texts), max_size=4)
parameters = st.lists(st.tuples(sent_texts, sent_texts, st.binary(max_size=2000)), max_size=2)
batches = st.lists(st.tuples(sent_texts, pairs, parameters), max_size=4)
# TorchServe counts the characters of a phrase or a type where it should count their bytes.
ascii_texts = st.text(st.characters(codec="ascii"), max_size=20)
replies = st.lists(
    st.tuples(
        texts,
        st.integers(100, 599),
        st.none() | ascii_texts,
        st.one_of(
            st.fixed_dictionaries({"content-type": ascii_texts}),
            st.dictionaries(st.sampled_from(["X-Problem", "é"]), texts),
            st.fixed_dictionaries({"content-type": ascii_texts, "X-Problem": texts}),
        ),
        st.binary(max_size=2000),
    ),
    max_size=4,
)

REPLACED = [
    (otf_message_handler, "_retrieve_buffer"),
    (otf_message_handler, "_retrieve_inference_msg"),
    (service, "create_predict_response"),
    (Service, "retrieve_data_for_inference"),
]


def field(content: bytes) -> bytes:
    return struct.pack("!i", len(content)) + content


def message(batch) -> bytes:
    """An inference message as the front end writes it."""
    parts = [b"I"]
    for request_id, headers, inputs in batch:
        parts += [field(request_id), *(field(name) + field(value) for name, value in headers), END]
        parts += [*(b"".join(map(field, values)) for values in inputs), END]
    return b"".join([*parts, END])


@pytest.fixture
def torchserve(monkeypatch):
    """Whatever a test replaces in TorchServe is put back after it."""
    for place, name in REPLACED:
        monkeypatch.setattr(place, name, place.__dict__[name])
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "false")
    monkeypatch.delenv("LOCAL_RANK", raising=False)


class Pieces:
    """A socket whose bytes arrive in pieces of some size, whatever is asked for."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content, self._size = content, size

    def recv(self, size: int) -> bytes:
        piece = self._content[: min(size, self._size)]
        self._content = self._content[len(piece) :]
        return piece

    def recv_into(self, view: memoryview) -> int:
        piece = self.recv(len(view))
        view[: len(piece)] = piece
        return len(piece)


def received(connection) -> tuple[object, ...]:
    """What a handler is given of the next message, in the words of TorchServe's service."""
    command, batch = otf_message_handler.retrieve_msg(connection)
    headers, inputs, ids = Service.retrieve_data_for_inference(batch)
    return command, [vars(header) for header in headers], inputs, ids


@given(st.lists(batches, min_size=1, max_size=3), st.integers(1, 5000))
@settings(max_examples=200, deadline=None)
def test_a_handler_is_given_what_torchserve_gives_it(sent, piece):
    content = b"".join(map(message, sent))
    theirs = Pieces(content, piece)
    expected = [received(theirs) for _ in sent]
    with pytest.MonkeyPatch.context() as patch:
        for place, name in REPLACED:
            patch.setattr(place, name, place.__dict__[name])
        patch.setenv("TS_DECODE_INPUT_REQUEST", "false")
        assert shorten_messages()
        ours = Pieces(content, piece)
        assert [received(ours) for _ in sent] == expected


def context_of(answers) -> Context:
    context = Context("draft", "/", {}, len(answers), None, "0.12.0")
    context.request_processor = [RequestProcessor({}) for _ in answers]
    for place, (_, status, phrase, headers, _) in enumerate(answers):
        context.set_response_status(status, phrase, place)
        for name, value in headers.items():
            context.set_response_header(place, name, value)
    return context


@given(replies)
def test_answers_are_what_torchserve_writes(answers):
    ids = {place: request_id for place, (request_id, *_) in enumerate(answers)}
    bodies = [body for *_, body in answers]
    arguments = (bodies, ids, "Prediction success", 200, context_of(answers))
    assert answer_message(*arguments) == otf_message_handler.create_predict_response(*arguments)


def test_other_answers_are_left_to_torchserve(torchserve):
    assert shorten_messages()
    ids = {0: "some-id"}
    context = context_of([(ids[0], 200, "OK", {}, b"")])
    for arguments in [
        ([{"a": "dictionary"}], ids, "Prediction success", 200, context),
        (["a text"], ids, "Prediction success", 200, context),
        ([b"streamed"], ids, "Prediction success", 200, context, True),
        (None, ids, "Prediction failed", 503),
    ]:
        ours = service.create_predict_response(*arguments)
        assert ours == otf_message_handler.create_predict_response(*arguments)


@pytest.mark.parametrize("size", [0, 1, 2**18 - 4, 2**18, 2**18 + 1, 3_000_000])
def test_a_body_of_any_size_arrives_whole(size):
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    batch = [(b"id", [(b"a", b"b")], [(b"body", b"application/json", body)])] * 3
    front_end, worker = socket.socketpair()
    with front_end, worker:
        sender = threading.Thread(target=front_end.sendall, args=[message(batch) * 2])
        sender.start()
        reader = BufferedConnection(worker)
        for _ in range(2):
            assert reader.take(1) == b"I"
            assert [parts["body"] for parts in reader.batch().inputs] == [body] * 3
        sender.join()


def test_a_worker_ends_with_its_front_end():
    for sent in (b"", message([(b"id", [], [])])[:-2]):
        front_end, worker = socket.socketpair()
        with worker:
            front_end.sendall(sent)
            front_end.close()
            reader = BufferedConnection(worker)
            with pytest.raises(SystemExit) as end:
                (reader.take(1), reader.batch())
            assert end.value.code == 0


def test_a_list_that_ends_within_a_pair_is_refused():
    reader = BufferedConnection(Pieces(field(b"id") + field(b"name") + END, 100))
    with pytest.raises(ValueError, match="in the middle of a request"):
        reader.batch()


def test_a_new_connection_starts_with_an_empty_buffer(torchserve):
    assert shorten_messages()
    first, second = Pieces(message([]) + b"rest", 1000), Pieces(message([]), 1000)
    for connection in (first, second):
        assert otf_message_handler.retrieve_msg(connection) == (b"I", ([], [], {}))


@pytest.mark.parametrize(
    ("name", "value"), [("TS_DECODE_INPUT_REQUEST", "true"), ("LOCAL_RANK", "1")]
)
def test_torchserve_keeps_its_way_where_only_that_will_do(torchserve, monkeypatch, name, value):
    before = [place.__dict__[name] for place, name in REPLACED]
    monkeypatch.setenv(name, value)
    assert not shorten_messages()
    assert [place.__dict__[name] for place, name in REPLACED] == before
