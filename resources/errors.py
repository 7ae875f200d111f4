"""Refusals of the domain. Each ``slug`` is a page under /problems/."""

from http import HTTPStatus

from security.errors import Problem


class SeparationOfDuties(Problem):
    """One person would have two parts in this payment."""

    status_code = HTTPStatus.FORBIDDEN
    slug = "separation-of-duties"
    title = "Separation of duties"
    default_detail = "Another person has to do this: you already had a part in it."
    meaning = (
        "The creator, the approvers and the releaser of an invoice and the last to edit the vendor's bank "
        "details are different people, whatever client they use."
    )


class NoBankDetails(Problem):
    """There is no account number to show."""

    status_code = HTTPStatus.CONFLICT
    slug = "no-bank-details"
    title = "No bank details"
    default_detail = "The vendor has no bank details."
    meaning = "Nobody has entered an account number for the vendor."


class VendorNotVerified(Problem):
    """The vendor's bank details are not verified."""

    status_code = HTTPStatus.CONFLICT
    slug = "vendor-not-verified"
    title = "Vendor not verified"
    default_detail = "Nothing is released to a vendor whose bank details are not verified."
    meaning = "The upstream verifier has not confirmed that the account belongs to the vendor."


class CoolingOff(Problem):
    """The vendor's bank details changed too recently."""

    status_code = HTTPStatus.CONFLICT
    slug = "cooling-off"
    title = "Cooling off"
    default_detail = "The vendor's bank details changed less than 72 hours ago."
    meaning = "A change of bank details is the classic invoice fraud; three days leave time to notice it."
