"""The service's routes as they are where ADMIN is on."""

from django.urls import path

from accounts import staff
from config import urls

handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500
urlpatterns = [*urls.urlpatterns, path("admin/", staff.site.urls)]
