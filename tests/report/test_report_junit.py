from xml.etree import ElementTree

from report_sample import HOSTILE

from equipoise.core.estimate import Verdict
from equipoise.report.junit import junit


def test_one_case_a_question_with_the_right_outcome(report):
    root = ElementTree.fromstring(junit(report).encode())
    assert root.tag == "testsuites"
    (suite,) = root
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert len(cases) == len(report.findings) + len(report.not_examined)
    outcome = {"fail": "failure", "error": "error", "skipped": "skipped"}
    for finding in report.findings:
        case = cases[finding.question]
        assert case.get("classname") == f"equipoise.{finding.theme}"
        assert float(case.get("time")) == round(finding.seconds, 3)
        tags = [child.tag for child in case]
        if finding.verdict.value in outcome:
            assert tags == [outcome[finding.verdict.value]]
            assert case[0].get("message") == finding.claim
        elif finding.verdict is Verdict.PASS:
            assert tags == []
        else:
            assert tags == ["system-out"]
            assert case[0].text.startswith(f"{finding.verdict.value}: ")
    assert "dead share: 18.0 % [15.0, 22.0], n = 224 (warn > 5 %, fail > 10 %)" in cases["dead-units"][0].text
    assert "--select adversarial" in cases["adversarial"][0].get("message")


def test_totals_are_those_of_the_cases(report):
    suite = ElementTree.fromstring(junit(report).encode())[0]
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"), ("tests", "testcase")):
        assert int(suite.get(attribute)) == len(list(suite.iter(tag)))


def test_characters_that_xml_forbids_are_replaced(report):
    finding = report.findings[0].model_copy(
        update={"claim": f"\x00\x08\ufffe\x1b {HOSTILE} ]]>", "question": '"<&', "verdict": Verdict.FAIL}
    )
    root = ElementTree.fromstring(junit(report.model_copy(update={"findings": (finding,)})).encode())
    case = next(root.iter("testcase"))
    assert case.get("name") == '"<&'
    assert case[0].get("message") == f"\ufffd\ufffd\ufffd\ufffd {HOSTILE} ]]>"
