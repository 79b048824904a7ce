"""The server beside the scanner: a real client, and clients that send garbage, stall, drop or claim too much."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from ismrmrd.serialization import ConfigFile, ConfigText, ProtocolDeserializer, ProtocolSerializer
from test_mrd import header, readout, write

import pisolve as pi
from pisolve import io
from pisolve.io import mrd_wire as wire
from pisolve.io.mrd_wire import Limits
from pisolve.server import Server
from pisolve.server.images import Style

SLICES, COILS, N = 3, 3, 24
KSPACE = np.stack([pi.phantom.brain((N, N), COILS, noise=0.02, seed=s).kspace for s in range(SLICES)])
RECIPE = pi.Recipe(2e-3 * pi.TV(), max_iter=4, maps=pi.Espirit(calib_width=12))
LIMITS = Limits(seconds=5, size=1 << 24, messages=2000)
LAST = ismrmrd.ACQ_LAST_IN_SLICE


def readouts(kspace=KSPACE, **counters):
    """The readouts of slices, one slice after another, in the order 2, 0, 1: each has a place and a time."""
    made = []
    for k, s in enumerate([2, 0, 1][: len(kspace)]):
        for y in range(N):
            flags = (LAST,) if y == N - 1 else ()
            place = {"position": (1.0, 2.0, 5.0 * s), "read_dir": (1, 0, 0), "phase_dir": (0, 1, 0),
                     "slice_dir": (0, 0, 1), "acquisition_time_stamp": 100 * k + y, "measurement_uid": 77}
            made.append(readout(kspace[s, :, y], *flags, y=y, slice=s, head=place, **counters))
    return made


class Client:
    """A client that speaks by the package's own protocol; what comes back is read to the close."""

    def __init__(self, server):
        self.sock = socket.create_connection(server.address, timeout=60)
        self.out = ProtocolSerializer(self.sock.makefile("wb"))
        self.back = ProtocolDeserializer(self.sock.makefile("rb"))

    def send(self, *objects):
        for o in objects:
            self.out.serialize(o)
        self.out._stream.flush()
        return self

    def start(self, name="tv", xml=None):
        return self.send(ConfigFile(name), ismrmrd.xsd.CreateFromDocument(xml or header(N, N)))

    def rest(self, close=True):
        """(images, texts) until the server's close."""
        if close:
            self.out._write_message_id(4)
            self.out._stream.flush()
        found = list(self.back.deserialize())
        self.sock.close()
        return [f for f in found if isinstance(f, ismrmrd.Image)], [f for f in found if isinstance(f, str)]


@pytest.fixture
def server():
    with Server(RECIPE, port=0, limits=LIMITS) as one:
        yield one


def alone(path, z):
    """What `recon` makes of a slice alone."""
    return abs(RECIPE(io.load(path, part={"slice": z})).x[0]).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("raw") / "raw.mrd", header(N, N), readouts())


def test_images_come_while_it_measures_with_the_bits_of_each_slice_alone(server, path):
    lines, client = readouts(), Client(server)
    client.start().send(*lines[: N])
    first = next(client.back.deserialize())  # the others are not measured yet
    assert isinstance(first, ismrmrd.Image)
    assert first.slice == 2
    images, texts = client.send(*lines[N:]).rest()
    assert [i.slice for i in images] == [0, 1]
    assert not texts
    for image in (first, *images):
        assert np.array_equal(image.data[0, 0], alone(path, image.slice))


def test_headers_say_where_and_which(server):
    images, _ = Client(server).start().send(*readouts(repetition=4, contrast=1)).rest()
    for k, image in enumerate(images):
        s = [2, 0, 1][k]
        assert (image.slice, image.repetition, image.contrast, image.image_index) == (s, 4, 1, k + 1)
        assert np.allclose(image.position, (1, 2, 5 * s))
        assert np.allclose(image.read_dir, (1, 0, 0))
        assert np.allclose(image.phase_dir, (0, 1, 0))
        assert np.allclose(image.slice_dir, (0, 0, 1))
        assert np.allclose(image.field_of_view, (2 * N, 2 * N, 5))
        assert list(image.matrix_size) == [N, N, 1]
        assert (image.measurement_uid, image.acquisition_time_stamp) == (77, 100 * k)
        assert image.image_type == ismrmrd.IMTYPE_MAGNITUDE
        assert image.data.dtype == np.float32
        assert image.meta["ImageRowDir"] == ["1.000000000", "0.000000000", "0.000000000"]


@pytest.mark.parametrize("rows", [N, N - 7])
def test_place_of_a_vendor_and_of_a_cut_image_are_those_of_the_file(tmp_path, rows):
    """A Siemens scanner's axes run against its directions; the middle of an image that is cut moves with it."""
    xml = header(N, N).replace("<acquisitionSystemInformation>",
                               "<acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor>")
    before, recon, after = xml.partition("<reconSpace>")
    for n in (1, 2):  # rows, and their mm
        after = after.replace(f"<y>{n * N}</y>", f"<y>{n * rows}</y>")
    xml = before + recon + after
    lines = readouts()[N : 2 * N]
    RECIPE(io.load(write(tmp_path / "raw.mrd", xml, lines))).save(tmp_path / "image.mrd", component="magnitude")
    with ismrmrd.Dataset(str(tmp_path / "image.mrd"), "dataset") as file:
        expected = file.read_image("image_0", 0)
    with Server(RECIPE, port=0, limits=LIMITS) as one:
        image, = Client(one).start(xml=xml).send(*lines).rest()[0]
    assert list(image.matrix_size) == [N, rows, 1]
    assert np.array_equal(image.data, expected.data)
    for name in ("position", "read_dir", "phase_dir", "slice_dir", "field_of_view"):
        assert np.allclose(getattr(image, name), getattr(expected, name), atol=1e-4), name


def test_whole_has_the_bits_of_the_file(path):
    expected = abs(RECIPE(path).x).astype(np.float32)
    with Server(RECIPE, port=0, limits=LIMITS, whole=True) as one:
        images, _ = Client(one).start().send(*readouts()).rest()
    assert [i.slice for i in images] == [0, 1, 2]
    assert np.array_equal([i.data[0, 0] for i in images], expected)


def test_frames_are_one_problem_and_come_together(server, path):
    """A slice is not whole before the last repetition that the header announces."""
    limit = "<repetition><minimum>0</minimum><maximum>1</maximum><center>0</center></repetition></encodingLimits>"
    xml = header(N, N).replace("</encodingLimits>", limit)
    lines = [r for rep in (0, 1) for r in readouts(KSPACE * (1 + rep), repetition=rep)]
    client = Client(server).start(xml=xml).send(*lines[: 3 * N])
    client.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.sock.recv(1)
    client.sock.settimeout(60)
    client.back = ProtocolDeserializer(client.sock.makefile("rb"))
    images, _ = client.send(*lines[3 * N :]).rest()
    assert [(i.slice, i.repetition) for i in images] == [(s, r) for s in (2, 0, 1) for r in (0, 1)]


def test_frames_of_their_own_come_one_by_one():
    each = RECIPE.replace(each=("slice", "repetition"))
    lines = [r for rep in (0, 1) for r in readouts(KSPACE * (1 + rep), repetition=rep)[:N]]
    with Server(each, port=0, limits=LIMITS) as one:
        images, texts = Client(one).start().send(*lines).rest()
    assert [(i.slice, i.repetition) for i in images] == [(2, 0), (2, 1)], texts
    assert np.allclose(images[1].data, 2 * images[0].data, rtol=1e-4, atol=1e-5)


def test_readouts_after_the_last_make_the_image_again(server, path):
    lines = readouts()[:N]
    images, texts = Client(server).start().send(*lines[:-2], lines[-1], lines[-2]).rest()
    assert len(images) == 2
    assert "made again" in texts[0]
    assert np.array_equal(images[1].data[0, 0], alone(path, 2))
    assert not np.array_equal(*(i.data for i in images))


def test_noise_and_calibration_go_with_each_slice(tmp_path):
    recipe, rng = RECIPE.replace(whiten=True), np.random.default_rng(0)
    noise = readout(rng.standard_normal((COILS, 400)) + 1j * rng.standard_normal((COILS, 400)),
                    ismrmrd.ACQ_IS_NOISE_MEASUREMENT, slice=0)
    raw = write(tmp_path / "raw.mrd", header(N, N), [noise, *readouts()])
    with Server(recipe, port=0, limits=LIMITS) as one:
        images, _ = Client(one).start().send(noise, *readouts()).rest()
    for image in images:
        expected = abs(recipe(io.load(raw, part={"slice": image.slice})).x[0])
        assert np.array_equal(image.data[0, 0], expected.astype(np.float32))


def test_a_client_names_a_recipe_of_the_folder(tmp_path):
    RECIPE.save(tmp_path / "tv.json")
    RECIPE.replace(prior=1.0 * pi.Tikhonov()).save(tmp_path / "smooth.json")
    with Server(tmp_path, port=0, limits=LIMITS) as one:
        assert one.names == ["smooth", "tv"]
        lines = readouts()[:N]
        tv, smooth, asked = (Client(one).start(name).send(*more, *lines).rest()[0][0].data for name, more in (
            ("tv.xml", ()), ("smooth", ()), ("openrecon", ('{"parameters": {"config": "smooth"}}',))))
        assert not np.array_equal(tv, smooth)
        assert np.array_equal(smooth, asked)
        for name in ("../tv.json", str(tmp_path / "tv.json"), "tv\x1b[2J", "none"):
            images, texts = Client(one).start(name).send(*lines[:1]).rest()
            assert not images
            assert "there is no recipe" in texts[0]
            assert "smooth, tv" in texts[0]
            assert "\x1b" not in texts[0]
        text = Client(one).send(ConfigText('{"parameters": {"customconfig": "tv"}}'), ismrmrd.xsd.CreateFromDocument(
            header(N, N))).send(*lines).rest()[0][0]
        assert np.array_equal(text.data, tv)


def test_pixels_and_components(path):
    with Server(RECIPE, port=0, limits=LIMITS, style=Style(pixels="ushort")) as one:
        images, _ = Client(one).start().send(*readouts()).rest()
    assert images[0].data.max() == 4096
    assert {i.data.dtype for i in images} == {np.dtype("uint16")}
    factor, = {float(i.meta["pisolve_factor"]) for i in images}
    assert np.array_equal(images[1].data[0, 0], np.rint(alone(path, images[1].slice) * factor))
    with Server(RECIPE, port=0, limits=LIMITS, style=Style("complex")) as one:
        image = Client(one).start().send(*readouts()[:N]).rest()[0][0]
    assert image.data.dtype == np.complex64
    assert image.image_type == ismrmrd.IMTYPE_COMPLEX
    with pytest.raises(ValueError, match="whole numbers are for the magnitude"):
        Style("complex", "ushort")


def refused(server, *data, close=False):
    """The texts that a server answers to raw bytes before it closes."""
    with socket.create_connection(server.address, timeout=60) as sock:
        with contextlib.suppress(OSError):  # it may close while we speak
            for piece in data:
                sock.sendall(piece)
            if close:
                sock.shutdown(socket.SHUT_WR)
        try:
            found = sock.makefile("rb").read()
        except ConnectionResetError:  # what came after a close is not read
            found = b""
    texts = list(ProtocolDeserializer(BytesIO(found)).deserialize()) if found else []
    return " ".join(map(str, texts))


XML = header(N, N).encode()
HEADER = struct.pack("<HI", 3, len(XML)) + XML
CONFIG = struct.pack("<H1024s", 1, b"tv")


def claimed(samples=N, channels=COILS, dimensions=0):
    """A readout's head that claims a size, and nothing after it."""
    one = readout(KSPACE[0, :, 0])
    head = one.getHead()
    head.number_of_samples, head.active_channels, head.trajectory_dimensions = samples, channels, dimensions
    return struct.pack("<H", 1008) + bytes(head)


GARBAGE = {
    "a browser": ((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",), "none of ISMRMRD's"),
    "a huge text": ((struct.pack("<HI", 3, 0xFFFFFFFF),), "4,294,967,295 bytes"),
    "a huge readout": ((CONFIG, HEADER, claimed(65535, 65535, 3)), "more than 16,777,216 bytes"),
    "a huge image": ((struct.pack("<H", 1022) + b"\7" * 2 + b"\7\0" + b"\xff" * 194 + b"\xff" * 8,), "is announced"),
    "a huge waveform": ((struct.pack("<H", 1026) + b"\xff" * 40,), "is announced"),
    "an image of no type": ((struct.pack("<H", 1022) + b"\xff" * 198 + b"\0" * 8,), "data type"),
    "no header": ((CONFIG, claimed()[:2] + claimed()[2:] + b"\0" * (8 * N * COILS)), "before the header"),
    "two headers": ((CONFIG, HEADER, HEADER), "second header"),
    "no XML": ((CONFIG, struct.pack("<HI", 3, 4) + b"<a><"), "not well-formed"),
    "entities": ((CONFIG, struct.pack("<HI", 3, 22) + b"<!DOCTYPE a><a>&b;</a>"), "document type"),
    "many messages": ((struct.pack("<HI", 5, 0) * 2001,), "more than 2,000 messages"),
    "no readouts": ((CONFIG, HEADER, struct.pack("<H", 4)), ""),
    "a close": ((struct.pack("<H", 4),), ""),
    "half a readout": ((CONFIG, HEADER, claimed()[:100]), "ended without a close"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_and_others_are_served(server, name, path):
    data, words = GARBAGE[name]
    start = time.monotonic()
    text = refused(server, *data, close=True)
    assert words in text
    assert bool(text) is bool(words)
    assert time.monotonic() - start < 5
    image = Client(server).start().send(*readouts()[:N]).rest()[0][0]
    assert np.array_equal(image.data[0, 0], alone(path, 2))


def test_random_bytes(server, path):
    rng = np.random.default_rng(3)
    for _ in range(30):
        kind = struct.pack("<H", int(rng.choice([1, 2, 3, 4, 5, 1008, 1022, 1026, 9])))
        refused(server, CONFIG, HEADER, kind + rng.bytes(int(rng.integers(0, 3000))), close=True)
    assert Client(server).start().send(*readouts()[:N]).rest()[0]


def test_heads_of_nonsense_end_the_part_alone(server):
    """Counters, sizes and encodings that fit nothing: a text says so, and the connection goes on to its close."""
    rng, lines = np.random.default_rng(1), readouts()[:N]
    for _ in range(12):
        bad = readout(KSPACE[0, :, 0], LAST, y=int(rng.integers(65535)), slice=2)
        bad.encoding_space_ref, bad.center_sample = int(rng.integers(3)), int(rng.integers(65535))
        bad.discard_pre = int(rng.integers(65535))
        images, texts = Client(server).start().send(*lines[:3], bad).rest()
        assert images or "no image" in texts[0]


@pytest.mark.parametrize("drip", [b"", b"\0"])
def test_a_client_that_stalls_is_dropped(drip):
    """One that sends nothing, and one that sends a byte now and then."""
    with Server(RECIPE, port=0, limits=Limits(seconds=0.4)) as one, socket.create_connection(one.address) as sock:
        start = time.monotonic()
        sock.sendall(struct.pack("<HI", 3, 1000))
        sock.settimeout(0.05)
        found = b""
        while b"no whole message" not in found and time.monotonic() - start < 5:
            try:
                sock.sendall(drip)
                found += sock.recv(1000)
            except TimeoutError:
                continue
        assert 0.3 < time.monotonic() - start < 4


def test_a_client_that_goes_on_for_ever_is_dropped():
    with Server(RECIPE, port=0, limits=Limits(seconds=5, total=0.4)) as one:
        with socket.create_connection(one.address, timeout=5) as sock:
            start = time.monotonic()
            with pytest.raises(OSError):
                while time.monotonic() - start < 5:
                    sock.sendall(struct.pack("<HI", 5, 0))
                    time.sleep(0.01)
        assert time.monotonic() - start < 4


def test_a_client_that_drops_stops_its_reconstruction(path):
    """The image that nobody waits for ends with its next step, and the place is free for others."""
    told = []
    slow = RECIPE.replace(max_iter=10**6, tol=0.0)
    with Server(slow, port=0, limits=LIMITS, connections=1, tell=told.append) as one:
        client = Client(one).start().send(*readouts()[: N + 3])
        time.sleep(0.3)
        client.sock.shutdown(socket.SHUT_RDWR)
        client.sock.close()
        for _ in range(100):
            if any("ended without" in t for t in told):
                break
            time.sleep(0.05)
        assert any("ended without a close" in t for t in told), told


def test_one_client_too_many_is_told(path):
    with Server(RECIPE, port=0, limits=LIMITS, connections=1) as one:
        first = Client(one).start()
        time.sleep(0.2)
        assert "1 clients are connected" in refused(one)
        assert first.send(*readouts()[:N]).rest()[0]
        for _ in range(50):
            found = []
            with contextlib.suppress(OSError):  # where the place was not free yet, closed on it or told so
                found = Client(one).start().send(*readouts()[:N]).rest()[0]
            if found:
                break
            time.sleep(0.05)
        assert np.array_equal(found[0].data[0, 0], alone(path, 2))


def test_the_port_is_this_machines_unless_told():
    with Server(RECIPE, port=0) as one:
        assert one.local
        assert one.address[0] == "127.0.0.1"
        with pytest.raises(OSError):
            Server(RECIPE, port=one.address[1])
    with pytest.raises(ValueError, match="no address of this machine"):
        Server(RECIPE, host="no.such.machine.invalid", port=0)


def test_recipes_that_a_server_refuses(tmp_path):
    with pytest.raises(ValueError, match="undersamples"):
        Server(RECIPE.replace(sampling=pi.Sampling("random", 4)), port=0)
    with pytest.raises(ValueError, match="holds no recipes"):
        Server(tmp_path, port=0)
    with pytest.raises(TypeError, match="must be a Recipe"):
        Server(3, port=0)


def test_the_reader_reads_what_the_package_writes():
    """Both ways: messages that the package writes, and messages of ours that it reads."""
    ours, theirs = socket.socketpair()
    wave = ismrmrd.Waveform.from_array(np.arange(12, dtype=np.uint32).reshape(2, 6))
    image = ismrmrd.Image.from_array(np.ones((1, 2, 3, 4), np.complex64))
    one = ismrmrd.Acquisition.from_array(KSPACE[0, :, 3], trajectory=np.ones((N, 2), np.float32))
    out = ProtocolSerializer(theirs.makefile("wb"))
    for o in (ConfigFile("a"), ConfigText("b"), "c", one, wave, image):
        out.serialize(o)
    out.close()
    found = list(wire.Reader(ours, LIMITS))
    assert [m.kind for m in found] == [1, 2, 5, 1008, 1026, 1022, 4]
    assert [m.text for m in found[:3]] == ["a", "b", "c"]
    assert found[3].head == bytes(one.getHead())
    assert np.array_equal(found[3].samples.view(np.complex64),
                                                                     one.data.ravel())
    assert np.array_equal(found[3].trajectory, one.traj.ravel())
    head = image.getHead()
    ours.sendall(wire.text("d") + wire.image(bytes(head), image.attribute_string, image.data) + wire.close())
    text, back = ProtocolDeserializer(theirs.makefile("rb")).deserialize()
    assert text == "d\0"
    assert np.array_equal(back.data, image.data)


def test_trajectories_come_too():
    coord = pi.trajectories.radial((N, N), 16)
    rng = np.random.default_rng(0)
    lines = []
    for k, line in enumerate(coord):
        data = (rng.standard_normal((COILS, len(line))) + 1j * rng.standard_normal((COILS, len(line)))) * 1e-3
        data[:, len(line) // 2] += 1
        one = ismrmrd.Acquisition.from_array(data.astype(np.complex64), trajectory=np.ascontiguousarray(
            line[:, ::-1] / N, np.float32))
        one.idx.kspace_encode_step_1, one.sample_time_us = k, 5.0
        if k == len(coord) - 1:
            one.set_flag(LAST)
        lines.append(one)
    recipe = pi.Recipe(1e-2 * pi.Tikhonov(), max_iter=3, maps=pi.Walsh())
    with Server(recipe, port=0, limits=LIMITS) as one:
        images, texts = Client(one).start(xml=header(N, N, trajectory="radial")).send(*lines).rest()
    assert [list(i.matrix_size) for i in images] == [[N, N, 1]], texts


def test_the_command_line_serves_until_it_is_ended(tmp_path, path):
    RECIPE.save(tmp_path / "tv.json")
    command = subprocess.Popen(
        [sys.executable, "-m", "pisolve", "serve", "--recipe", tmp_path / "tv.json", "--port", "0"],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(Path(pi.__file__).parents[1])})
    try:
        port = int(command.stderr.readline().split(",")[0].rpartition(":")[2])

        class Here:
            address = ("localhost", port)

        image = Client(Here).start().send(*readouts()[:N]).rest()[0][0]
        assert np.array_equal(image.data[0, 0], alone(path, 2))
        command.send_signal(signal.SIGTERM)
        assert command.wait(20) == 143
    finally:
        command.kill()
        log = command.stderr.read()
    assert f"{N} readouts, 1 images" in log
