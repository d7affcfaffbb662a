"""The parity gate and the sources file; no TensorFlow here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecasting.data.sources import load_sources
from forecasting.paper.train import train
from forecasting.runtime import LiteModel, PaperLstm, ParityFault, check_parity, power_from_share_kw
from forecasting.series import SeriesFault
from models import Artefact, artefact

SHIPPED = artefact("paper_lstm")
PARITY: dict[str, Any] = SHIPPED.manifest["parity"]


def with_outputs(outputs: list[float]) -> dict[str, Any]:
    return {"inputs": PARITY["inputs"][: len(outputs)], "outputs": outputs}


def test_the_shipped_model_answers_as_keras_did_within_1e_5() -> None:
    assert PaperLstm(SHIPPED).parity_error < 1e-5


def test_the_gate_refuses_a_model_that_answers_nan() -> None:
    class Silent(LiteModel):
        def __call__(self, x: Any) -> Any:
            return np.full(len(x), np.nan, dtype=np.float32)

    with pytest.raises(ParityFault, match="NaN"):
        check_parity(Silent(SHIPPED.content), PARITY)


def test_the_gate_refuses_stored_nan_so_that_nan_never_equals_nan() -> None:
    with pytest.raises(ParityFault, match="NaN"):
        check_parity(LiteModel(SHIPPED.content), with_outputs([float("nan")]))


def test_the_gate_refuses_an_answer_that_is_off_by_more_than_1e_5() -> None:
    model = LiteModel(SHIPPED.content)
    check_parity(model, with_outputs([PARITY["outputs"][0] + 5e-6]))
    with pytest.raises(ParityFault, match="off by"):
        check_parity(model, with_outputs([PARITY["outputs"][0] + 2e-5]))


@pytest.mark.parametrize("parity", [None, {}, {"inputs": [], "outputs": []}, {"inputs": [[1.0]]}])
def test_an_artefact_without_parity_vectors_is_refused(parity: Any) -> None:
    bare = Artefact(
        id="bare",
        path=SHIPPED.path,
        manifest={"sha256": "", "parity": parity},
        content=SHIPPED.content,
    )
    with pytest.raises(ParityFault, match="parity vectors"):
        PaperLstm(bare)


def test_content_that_is_no_model_is_refused() -> None:
    with pytest.raises((ValueError, RuntimeError)):
        LiteModel(b"no model at all")


def test_power_is_clipped_to_the_rating_and_night_is_zero() -> None:
    share = np.array([-0.2, 0.5, 1.3, 0.5], dtype=np.float32)
    clear = np.array([10.0, 10.0, 10.0, 0.0])
    np.testing.assert_allclose(power_from_share_kw(share, clear, 200.0), [0.0, 100.0, 200.0, 0.0])


def test_one_model_takes_batches_of_any_size() -> None:
    model = LiteModel(SHIPPED.content)
    x = np.asarray(PARITY["inputs"], dtype=np.float32)
    one_by_one = [float(model(x[i : i + 1])[0]) for i in range(len(x))]
    np.testing.assert_allclose(model(x), one_by_one, atol=1e-6)


# --- sources -------------------------------------------------------------------------

GOOD = """
[[source]]
name = "roof"
file = "roof.csv"
quantity = "power_w"
latitude_deg = 39.74
longitude_deg = -105.18
tilt_deg = 45
azimuth_deg = 158
rated_kw = 3.4
licence = "CC-BY 4.0"

[[source]]
name = "meadow"
file = "meadow.csv"
quantity = "ghi_wm2"
latitude_deg = -30
longitude_deg = 20
licence = "public domain"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sources.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sources_file_gives_plants_and_irradiance_gets_a_nominal_one(tmp_path: Path) -> None:
    roof, meadow = load_sources(written(tmp_path, GOOD), tmp_path)
    assert roof.path == tmp_path / "roof.csv"
    assert (roof.geometry.tilt_deg, roof.geometry.rated_kw) == (45.0, 3.4)
    assert (meadow.geometry.tilt_deg, meadow.geometry.azimuth_deg) == (30.0, 0.0)


def test_the_sources_file_that_ships_reads(tmp_path: Path) -> None:
    sources = load_sources(SHIPPED.path.parent / "sources.toml", tmp_path)
    trained = SHIPPED.manifest["training"]["sources"]
    assert [s.path.name for s in sources] == [s["file"] for s in trained]


def test_all_faults_of_a_sources_file_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("latitude_deg = 39.74", "latitude_deg = 139").replace("rated_kw", "rated")
    with pytest.raises(SeriesFault) as caught:
        load_sources(written(tmp_path, text), tmp_path)
    told = "\n".join(caught.value.faults)
    assert "sources.toml: source.0.latitude_deg" in told
    assert "source.0.rated: " in told


def test_power_needs_its_plant_and_irradiance_may_have_none(tmp_path: Path) -> None:
    text = GOOD.replace("tilt_deg = 45\n", "").replace("-30", "-30\ntilt_deg = 3")
    with pytest.raises(SeriesFault) as caught:
        load_sources(written(tmp_path, text), tmp_path)
    assert len(caught.value.faults) == 2
    assert "'roof': tilt_deg missing" in caught.value.faults[0]
    assert "'meadow': tilt_deg given" in caught.value.faults[1]


@pytest.mark.parametrize("text", ["", "[[source]\n", "source = 3"])
def test_a_file_that_lists_no_sources_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(SeriesFault, match=r"sources\.toml: "):
        load_sources(written(tmp_path, text), tmp_path)


def test_training_tells_the_faults_of_all_series_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "roof.csv").write_text("time_utc,power\n", encoding="utf-8")
    with pytest.raises(SeriesFault) as caught:
        train(load_sources(written(tmp_path, GOOD), tmp_path), tmp_path / "mine")
    told = "\n".join(caught.value.faults)
    assert "roof.csv: no value column" in told
    assert "meadow.csv: no such file" in told
    assert not (tmp_path / "mine").exists()
