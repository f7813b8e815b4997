"""What a test does to a link: one value per (from, to, road), a clear sky where nothing was said; never carries anything."""

from dataclasses import dataclass

LIES = ("ok", "echo", "stranger", "member", "name", "other")
# ok: bytes that mean nothing · echo: the parcel itself · stranger: a receipt signed by nobody the fleet knows · member: one
# signed by another member · name: one signed by another member in the addressee's name · other: a true receipt of the
# addressee, for another parcel


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to a parcel on its way. Chances are 0 to 1, times in seconds."""

    cut: bool = False  # refused at once
    hole: bool = False  # swallowed: the sender waits for nothing
    deaf: bool = False  # it arrives, the answer is lost
    delay: float = 0.0  # more each way than the road takes by itself
    jitter: float = 0.0  # up to so much more, by the dice: parcels overtake each other
    drop: float = 0.0
    twice: float = 0.0  # it arrives again, up to `again` seconds later
    again: float = 1.0
    corrupt: float = 0.0  # a bit flips, in the parcel or in the answer
    lie: str = ""  # one of LIES: the road answers itself, nothing is carried
    custody: str = ""  # "kept": taken, carried later · "lost": taken and thrown away
    busy: float = 0.0  # the other side asks to be left alone for so long
    bug: bool = False  # the channel itself breaks
    faulty: bool = False  # credentials, settings: Faulty

    def __str__(self) -> str:
        """Say what is not as under a clear sky."""
        said = {name: getattr(self, name) for name in self.__dataclass_fields__}
        words = [_word(name, value) for name, value in said.items() if value != getattr(CLEAR, name)]
        return " ".join(words) or "clear"


CLEAR: Weather = Weather()


def _word(name: str, value: object) -> str:
    return name if value is True else f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"


def read_weather(words: list[str]) -> Weather:
    """Read `cut`, `delay=0.5`, `lie=ok` … as stories write them."""
    values: dict[str, object] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name == "clear":
            continue
        kind = type(getattr(CLEAR, name))
        values[name] = True if kind is bool else float(value) if kind is float else value
    weather = Weather(**values)  # type: ignore[arg-type]
    assert weather.lie in ("", *LIES) and weather.custody in ("", "kept", "lost"), words
    return weather


class Sky:
    """The weather of every link; `*` stands for any node or road, the most particular word wins."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str, str], Weather] = {}

    def set(self, sender: str, receiver: str, road: str, weather: Weather) -> None:
        """Say what a link does from now on."""
        self._said[(sender, receiver, road)] = weather

    def both(self, one: str, other: str, road: str, weather: Weather) -> None:
        """Say it for both directions."""
        self.set(one, other, road, weather)
        self.set(other, one, road, weather)

    def clear(self) -> None:
        """Clear the whole sky."""
        self._said.clear()

    def at(self, sender: str, receiver: str, road: str) -> Weather:
        """Look up what a link does now."""
        if not self._said:
            return CLEAR
        for key in ((sender, receiver, road), (sender, receiver, "*"), (sender, "*", road), ("*", receiver, road),
                    (sender, "*", "*"), ("*", receiver, "*"), ("*", "*", road), ("*", "*", "*")):  # fmt: skip
            weather = self._said.get(key)
            if weather is not None:
                return weather
        return CLEAR
