"""A configuration of the GridAPPS-D server, imported, with certificates made for it, is served."""

import ssl
from pathlib import Path

import httpx2
from lxml import etree

from ems.derms.assembled import opened
from ems.derms.certificates import make_pki
from ems.derms.gridappsd import imported
from ems.settings.ieee2030_5.file import load_server

FOLDER = Path(__file__).parents[1] / "scenario" / "gridappsd" / "every_mode_and_curve"
NAME = "bus_671_pv"
NS = "{urn:ieee:std:2030.5:ns}"


def test_what_was_configured_there_is_served_here(tmp_path: Path) -> None:
    pki = make_pki(tmp_path / "pki", [NAME])
    text = imported((FOLDER / "server.yml").read_text(encoding="utf-8"), "server.yml").toml
    for old, new in {
        "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5": pki.device[NAME].lfdi,
        "/srv/derms/tls/certs/0.0.0.0:8443.crt": str(pki.server.cert_file),
        "/srv/derms/tls/private/0.0.0.0:8443.pem": str(pki.server.key_file),
        "/srv/derms/tls/certs/ca.crt": str(pki.ca_file),
        'host = "0.0.0.0"': 'host = "127.0.0.1"',
        "port = 8443": "port = 0",
        "http_port = 8080": "http_port = 0",
        'mode = "register_access_only"': 'mode = "enddevices_create_on_start"',
        'lfdi_mode = "file"': 'lfdi_mode = "certificate"',
    }.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "derms.toml").write_text(text, encoding="utf-8")
    with opened(load_server(tmp_path / "derms.toml", {})) as served:
        served.server.start()
        try:
            tls = ssl.create_default_context(cafile=str(pki.ca_file))
            tls.maximum_version = ssl.TLSVersion.TLSv1_2
            tls.set_ciphers("ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0")
            tls.load_cert_chain(pki.device[NAME].cert_file, pki.device[NAME].key_file)
            with httpx2.Client(verify=tls, base_url=served.server.url) as client:

                def read(path: str) -> etree._Element:
                    answer = client.get(path)
                    assert answer.status_code == 200, (path, answer.text)
                    return etree.fromstring(answer.content)

                assert read("/edev/1/reg").findtext(f"{NS}pIN") == "305084"
                capability = read("/edev/1/der/1/dercap")
                assert capability.findtext(f"{NS}modesSupported") == "07FFFFFF"
                assert capability.findtext(f"{NS}rtgAbnormalCategory") == "3"
                susceptance = capability.find(f"{NS}rtgReactiveSusceptance")
                assert susceptance is not None
                assert [part.text for part in susceptance] == ["-6", "2000"]
                curves = read("/derp/1/dc?l=255")
                types = {int(each.findtext(f"{NS}curveType") or -1) for each in curves}
                assert types == set(range(15))
                controls = read("/derp/1/derc?l=255")
                assert [c.findtext(f"{NS}mRID") for c in controls][:1] == ["C1"]
                assert len(controls) == 2
                default = read("/derp/1/dderc")
                assert default.findtext(f"{NS}setGradW") == "500"
                assert default.findtext(f"{NS}setESLowVolt") == "-830"
                assert default.find(f"{NS}DERControlBase/{NS}opModVoltVar") is not None
        finally:
            served.server.stop()
