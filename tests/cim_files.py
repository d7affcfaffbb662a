"""CIM files for the tests: exported by OpenDSS from our own feeders, or written by hand."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from feeders import Feeder, Injections, LoadFlow, shipped
from feeders.compiling import compile_file, freeze_controls, new_context

ZOO = """\
! One of nearly everything that a CIM100 export can hold. DERs are added for the export.
Clear
New Circuit.zoo bus1=head basekV=4.16 pu=1.02 R1=0.02 X1=0.1 R0=0.03 X0=0.12
New LineCode.lc nphases=3 units=km normamps=350 emergamps=420
~ rmatrix=(0.3 | 0.1 0.31 | 0.11 0.09 0.32) xmatrix=(0.6 | 0.2 0.62 | 0.25 0.21 0.64)
~ cmatrix=(9 | -2 9.2 | -1 -1.5 9.1)
New LineCode.two nphases=2 units=mi rmatrix=(1.3 | 0.2 1.32) xmatrix=(1.34 | 0.45 1.35) c1=0 c0=0
New LineCode.triplex nphases=2 units=km rmatrix=(0.9 | 0.3 0.9) xmatrix=(0.4 | 0.3 0.4) c1=0 c0=0
New WireData.bare GMR=0.02 gmrunits=ft diam=0.7 radunits=in Rac=0.3 runits=mi normamps=400
New LineSpacing.pole nconds=4 nphases=3 units=ft x=[-4 0 3 0] h=[28 29 28 24]
New LineGeometry.geo nconds=4 nphases=3 cond=1 wire=bare x=-4 h=28 units=ft
~ cond=2 wire=bare x=0 h=28 units=ft cond=3 wire=bare x=4 h=28 units=ft
~ cond=4 wire=bare x=0 h=24 units=ft reduce=yes
New CNData.cn k=13 DiaStrand=0.0641 GmrStrand=0.02496 RStrand=14.87 EpsR=2.3 InsLayer=0.22
~ DiaIns=1.06 DiaCable=1.16 Rac=0.41 GMRac=0.2052 diam=0.567 runits=mi radunits=in gmrunits=in
New TSData.ts DiaShield=0.88 TapeLayer=0.005 TapeLap=20 EpsR=2.3 InsLayer=0.22 DiaIns=0.82
~ DiaCable=1.06 Rac=0.97 GMRac=0.1332 diam=0.368 runits=mi radunits=in gmrunits=in
New LineSpacing.trench nconds=3 nphases=3 units=ft x=[-0.5 0 0.5] h=[-4 -4 -4]

New Line.l1 bus1=head bus2=b1 linecode=lc length=1 units=km
New Line.l2 bus1=b1.3.1 bus2=b2.3.1 linecode=two length=0.4 units=mi
New Line.overhead bus1=b1 bus2=b3 spacing=pole wires=[bare bare bare bare] length=900 units=ft
New Line.geometric bus1=b1 bus2=b4 geometry=geo length=800 units=ft
New Line.cable bus1=b1 bus2=b5 spacing=trench cncables=[cn cn cn] length=700 units=ft
New Line.taped bus1=b1 bus2=b6 spacing=trench tscables=[ts ts ts] length=600 units=ft
New Line.sequence bus1=b1 bus2=b7 R1=0.2 X1=0.4 R0=0.5 X0=1.1 C1=0 C0=0 length=0.5 units=km
New Line.sw1 bus1=b7 bus2=b8 switch=yes r1=0.0001 x1=0 r0=0.0001 x0=0 c1=0 c0=0 length=1
New Line.sw2 phases=1 bus1=b7.2 bus2=b9.2 switch=yes r1=0.0001 x1=0 c1=0 length=1
New Line.tie bus1=b8 bus2=b3 switch=yes r1=0.0001 x1=0 r0=0.0001 x0=0 c1=0 c0=0 length=1
! At both ends: the exporter asks the end it happens to stand at.
Open Line.tie 1
Open Line.tie 2
New Line.swf bus1=b8 bus2=b10 switch=yes r1=0.0001 x1=0 r0=0.0001 x0=0 c1=0 c0=0 length=1
New Fuse.f Line.swf
New Line.swr bus1=b8 bus2=b11 switch=yes r1=0.0001 x1=0 r0=0.0001 x0=0 c1=0 c0=0 length=1
New Recloser.r Line.swr
New Line.swb bus1=b8 bus2=b12 switch=yes r1=0.0001 x1=0 r0=0.0001 x0=0 c1=0 c0=0 length=1
New Relay.r Line.swb
New Reactor.series bus1=b1 bus2=b13 phases=3 R=0.05 X=0.1

New Transformer.vr1 phases=1 buses=[b13.1 b14.1] kVs=[2.4018 2.4018] kVAs=[500 500] XHL=0.5
~ taps=[1 1.025]
New Transformer.vr2 phases=1 buses=[b13.2 b14.2] kVs=[2.4018 2.4018] kVAs=[500 500] XHL=0.5
~ taps=[1 0.9875]
New Transformer.vr3 phases=1 buses=[b13.3 b14.3] kVs=[2.4018 2.4018] kVAs=[500 500] XHL=0.5
New RegControl.vr1 transformer=vr1 winding=2 vreg=122 band=2 ptratio=20 CTprim=300 R=2 X=4
New RegControl.vr2 transformer=vr2 winding=2 vreg=122 band=2 ptratio=20
New RegControl.vr3 transformer=vr3 winding=2 vreg=122 band=2 ptratio=20
New Transformer.dy phases=3 buses=[b14 low] conns=[delta wye] kVs=[4.16 0.48] kVAs=[300 300]
~ XHL=5 %LoadLoss=1 %noloadloss=0.3 %imag=0.6
New XfmrCode.code phases=3 windings=2 XHL=4 kVs=[4.16 0.208] kVAs=[75 75] conns=[wye wye]
~ %LoadLoss=1.2 %noloadloss=0.4 %imag=0.9
New Transformer.coded xfmrcode=code buses=[b4 low2]
New Transformer.across phases=1 buses=[b3.1.2 low3.1] kVs=[4.16 0.24] kVAs=[50 50] XHL=2
New Transformer.split phases=1 windings=3 buses=[b5.2 sec.1.0 sec.0.2] kVs=[2.4018 0.12 0.12]
~ kVAs=[50 50 50] %Rs=[0.6 1.2 1.2] XHL=2.04 XHT=2.04 XLT=1.36 %noloadloss=0.2 %imag=0.5
New Line.drop bus1=sec.1.2 bus2=home.1.2 linecode=triplex length=0.03 units=km

New Capacitor.c1 bus1=b11 phases=3 kvar=90 kV=4.16 numsteps=3 states=[1 1 0]
New Capacitor.c2 bus1=b9.2 phases=1 kvar=30 kV=2.4018
New Capacitor.c3 bus1=b12 phases=3 conn=delta kvar=60 kV=4.16
New CapControl.c1 element=line.l1 terminal=1 capacitor=c1 type=kvar onsetting=150 offsetting=-75
New CapControl.c3 element=line.swb terminal=2 capacitor=c3 type=voltage ptratio=20
~ onsetting=118 offsetting=124

New Load.three bus1=b8 phases=3 kV=4.16 kW=120 kvar=40 model=1 vminpu=0.5 vmaxpu=1.5
New Load.delta bus1=b6 phases=3 conn=delta kV=4.16 kW=90 kvar=30 model=2 vminpu=0.5 vmaxpu=1.5
New Load.between bus1=b2.3.1 phases=1 conn=delta kV=4.16 kW=40 kvar=20 model=5 vminpu=0.5 vmaxpu=1.5
New Load.exponent bus1=b3 phases=3 kV=4.16 kW=60 kvar=20 model=4
~ CVRwatts=0.8 CVRvars=2 vminpu=0.5 vmaxpu=1.5
New Load.motor bus1=b4 phases=3 kV=4.16 kW=30 kvar=20 model=3 vminpu=0.5 vmaxpu=1.5
New Load.low bus1=low phases=3 kV=0.48 kW=150 kvar=50 model=1 vminpu=0.5 vmaxpu=1.5
New Load.low2 bus1=low2.3 phases=1 kV=0.12009 kW=12 kvar=4 model=2 vminpu=0.5 vmaxpu=1.5
New Load.low3 bus1=low3.1 phases=1 kV=0.24 kW=15 kvar=5 model=2 vminpu=0.5 vmaxpu=1.5
New Load.home bus1=home.1.2 phases=1 kV=0.24 kW=9 kvar=3 model=2 vminpu=0.5 vmaxpu=1.5
New Load.leg bus1=home.1 phases=1 kV=0.12 kW=2 kvar=1 model=1 vminpu=0.5 vmaxpu=1.5
Set VoltageBases=[4.16 0.48 0.4157 0.208]
CalcVoltageBases
"""

ZOO_DERS = (
    "New PVSystem.utility bus1=b8 phases=3 kV=4.16 kVA=120 Pmpp=100 irradiance=0.8",
    "New PVSystem.roof bus1=home.1.2 phases=1 kV=0.24 kVA=6 Pmpp=5 irradiance=1 pf=0.95",
    "New PVSystem.onephase bus1=b9.2 phases=1 kV=2.4 kVA=20 Pmpp=20 irradiance=0.5 kvar=3",
    "New Storage.giver bus1=b8 kV=4.16 kVA=50 kWrated=50 kWhrated=200 state=discharging kW=20",
    "New Storage.taker bus1=b8 kV=4.16 kVA=50 kWrated=50 kWhrated=200 state=charging kW=-20",
    "New Generator.diesel bus1=b8 phases=3 kV=4.16 kVA=60 kW=40 kvar=10",
    "New XYCurve.vv npts=4 xarray=(0.9 0.98 1.02 1.1) yarray=(1 0 0 -1)",
    "New InvControl.ic mode=VOLTVAR DERList=(PVSystem.utility) vvc_curve1=vv",
)


def zoo(folder: Path) -> Path:
    """The feeder of one of nearly everything, as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "zoo.dss"
    path.write_text(ZOO, encoding="ascii")
    return path


def exported(source: str, folder: Path, commands: Sequence[str] = ()) -> Path:
    """CIM100 export of a shipped feeder, or of a file, taps and capacitors as it leaves them.

    Args:
        source: name of a shipped feeder, or a path.
        folder: where to.
        commands: executed before the export.
    """
    entry = shipped()[source].entry if source in shipped() else Path(source)
    context = new_context()
    compile_file(context, entry)
    for command in commands:
        context.Text.Command(command)
    freeze_controls(context)
    context.Solution.Solve()
    path = folder / f"{entry.stem}.xml"
    context.Text.Command(f'Export CIM100 file="{path}" substation=s geo=g subgeo=sg')
    return path


def nominal_flow(feeder: Feeder) -> LoadFlow:
    """Load flow at nominal load, nothing injected."""
    still = dict.fromkeys([p.name for p in feeder.placements], 0.0)
    return feeder.load_flow(
        Injections(
            p_kw=still,
            q_kvar=still,
            load_kw={x.name: x.kw for x in feeder.loads},
            load_kvar={x.name: x.kvar for x in feeder.loads},
        )
    )


HEAD = """\
<?xml version="1.0" encoding="utf-8"?>
<rdf:RDF xmlns:cim="http://iec.ch/TC57/CIM100#"
         xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
"""
TAIL = "</rdf:RDF>\n"
ENUM = "http://iec.ch/TC57/CIM100#"


def cim_object(kind: str, mrid: str, name: str = "", **attributes: str) -> str:
    """One object. `Class__attribute="#x"` refers to object x, `"=Kind.a"` is an enumeration."""
    body = [f"<cim:IdentifiedObject.mRID>{escape(mrid)}</cim:IdentifiedObject.mRID>"]
    if name:
        body.append(f"<cim:IdentifiedObject.name>{escape(name)}</cim:IdentifiedObject.name>")
    for key, value in attributes.items():
        attribute = key.replace("__", ".")
        if value.startswith(("#", "=")):
            uri = value if value.startswith("#") else ENUM + value[1:]
            body.append(f'<cim:{attribute} rdf:resource="{escape(uri)}"/>')
        else:
            body.append(f"<cim:{attribute}>{escape(value)}</cim:{attribute}>")
    return f'<cim:{kind} rdf:ID="{escape(mrid)}">\n  ' + "\n  ".join(body) + f"\n</cim:{kind}>\n"


def small_model(
    *, load_name: str = "house", bus_name: str = "b", feeder_name: str = "f", p: str = "90000"
) -> dict[str, str]:
    """A source, a line, a load and a PV, by mRID; `model` makes it a file's text."""
    base = {"ConductingEquipment__BaseVoltage": "#v", "Equipment__EquipmentContainer": "#feeder"}

    def terminal(of: str, number: int, node: str) -> str:
        return cim_object(
            "Terminal",
            f"t_{of}_{number}",
            Terminal__ConductingEquipment=f"#{of}",
            Terminal__ConnectivityNode=f"#{node}",
            ACDCTerminal__sequenceNumber=str(number),
        )

    return {
        "feeder": cim_object("Feeder", "feeder", feeder_name),
        "v": cim_object("BaseVoltage", "v", "4kV", BaseVoltage__nominalVoltage="4160"),
        "head": cim_object("ConnectivityNode", "head", "head"),
        "node": cim_object("ConnectivityNode", "node", bus_name),
        "source": cim_object(
            "EnergySource",
            "source",
            "grid",
            **base,
            EnergySource__nominalVoltage="4160",
            EnergySource__voltageMagnitude="4200",
        ),
        "t_source": terminal("source", 1, "head"),
        "line": cim_object(
            "ACLineSegment",
            "line",
            "l",
            **base,
            Conductor__length="500",
            ACLineSegment__r="0.1",
            ACLineSegment__x="0.2",
        ),
        "t_line1": terminal("line", 1, "head"),
        "t_line2": terminal("line", 2, "node"),
        "load": cim_object(
            "EnergyConsumer",
            "load",
            load_name,
            **base,
            EnergyConsumer__p=p,
            EnergyConsumer__q="30000",
        ),
        "t_load": terminal("load", 1, "node"),
        "pv": cim_object(
            "PowerElectronicsConnection",
            "pv",
            "roof",
            Equipment__EquipmentContainer="#feeder",
            PowerElectronicsConnection__PowerElectronicsUnit="#unit",
            PowerElectronicsConnection__p="20000",
            PowerElectronicsConnection__q="0",
            PowerElectronicsConnection__ratedS="60000",
        ),
        "unit": cim_object("PhotovoltaicUnit", "unit", "roof", PowerElectronicsUnit__maxP="50000"),
        "t_pv": terminal("pv", 1, "node"),
    }


def model(objects: dict[str, str]) -> str:
    """The text of a file with these objects."""
    return HEAD + "".join(objects.values()) + TAIL


def written(folder: Path, text: str | bytes) -> Path:
    """A file with this text."""
    path = folder / "model.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path
